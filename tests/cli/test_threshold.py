"""A threshold of two classes becomes part of the model: everything that answers, answers by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import conviction
from conviction.errors import RequestError
from conviction.evaluation import choose_threshold
from tests.conftest import Cli


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tells digits below 5 from the others, badly enough for a threshold to matter."""
    digits = load_digits()
    source = (digits.images, (digits.target >= 5).astype(int), ["low", "high"])
    keys = {"training.epochs": 1, "model.filters": [2], "model.dense": [4], "training.threads": 1}
    return conviction.fit(source, keys, out=tmp_path_factory.mktemp("made") / "run", show=None).path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_the_best_threshold_is_chosen_on_validation_images(run: Path) -> None:
    opened = conviction.load_run(run)
    answers = opened.predictions[opened.predictions["part"] == "validation"]
    decision = opened.set_threshold("auto")
    assert decision is not None
    assert decision.class_name == "high"
    expected = choose_threshold(
        answers["p(high)"].to_numpy(np.float32), (answers["label"] == "high").to_numpy(int)
    )
    assert decision.threshold == pytest.approx(expected)
    points = opened.operating_points()
    assert points["balanced_accuracy"].idxmax() == pytest.approx(decision.threshold)


def test_all_that_answers_answers_by_it(run: Path, cli: Cli, tmp_path: Path) -> None:
    opened = conviction.load_run(run)
    pixels = opened.images().pixels[:200]
    before = opened.predict(pixels)
    limit = float(np.quantile(before.probabilities[:, 1], 0.9))
    done = cli("threshold", "run", f"{limit:.6f}")
    assert done.code == 0, done.err
    after = conviction.load_run(run).predict(pixels)
    np.testing.assert_array_equal(after.probabilities, before.probabilities)
    expected = np.where(before.probabilities[:, 1] >= round(limit, 6), "high", "low").tolist()
    assert after.labels == expected != before.labels

    exported = cli("export", "run", "--format", "onnx,litert,keras")
    assert exported.code == 0, exported.err
    for name in ("model.onnx", "model.tflite", "model.keras"):
        assert conviction.load(run / "exports" / name).predict(pixels).labels == expected
    assert "It answers high from a probability of" in (run / "exports" / "MODEL_CARD.md").read_text()

    from PIL import Image

    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "one.png")
    answer = cli("predict", "run", "one.png", "--json").json["predictions"][0]
    assert answer["label"] == expected[0]
    assert answer["probability"] == answer["probabilities"][expected[0]]


def test_it_is_said_shown_and_taken_back(run: Path, cli: Cli) -> None:
    assert cli("threshold", "run", "0.3", "--class", "low").code == 0
    shown = cli("threshold", "run", "--class", "low")
    assert "A picture is low from a probability of 0.3 on." in shown.out
    assert "On the test images, as it is set" in shown.out
    assert "predict --abstain-below" in shown.out
    assert cli("threshold", "run", "--json").json["decision"] == {"class_name": "low", "threshold": 0.3}
    assert cli("report", "run").code == 0
    assert "The model is set to answer low from a probability of 0.3 on" in (run / "report.html").read_text()
    model = (run / "model.keras").read_bytes()
    assert cli("threshold", "run", "none").code == 0
    assert conviction.load_run(run).decision is None
    assert cli("threshold", "run", "0.3", "--class", "low").code == 0
    assert (run / "model.keras").read_bytes() == model


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan"), True, "best", [0.5]])
def test_what_is_no_threshold_is_refused(value: Any, run: Path) -> None:
    before = (run / "model.keras").read_bytes()
    with pytest.raises(
        RequestError, match="threshold: expected a probability between 0 and 1, or auto; got "
    ):
        conviction.load_run(run).set_threshold(value)
    assert (run / "model.keras").read_bytes() == before


def test_other_requests_are_refused(run: Path, trained: Path, cli: Cli) -> None:
    with pytest.raises(
        RequestError, match=r"class_name: expected low or high; got 'hihg'\. Did you mean 'high'"
    ):
        conviction.load_run(run).set_threshold(0.5, "hihg")
    with pytest.raises(RequestError, match="expected a run of two classes; this one has 10"):
        conviction.load_run(trained).set_threshold(0.5)
    refused = cli("threshold", "run", "much")
    assert refused.code == 2
    assert "threshold: expected a probability between 0 and 1, auto or none; got 'much'" in refused.err


def test_more_classes_have_a_table_of_abstaining(trained: Path, cli: Cli) -> None:
    done = cli("threshold", trained)
    assert done.code == 0, done.err
    assert "abstain below" in done.out
    rows = cli("threshold", trained, "--json").json
    assert rows["validation"] == rows["test"] == []
    assert rows["coverage"][0]["coverage"] == 1.0
    assert json.dumps(rows["coverage"][0])


def test_a_model_whose_card_names_another_class_is_refused(run: Path) -> None:
    from conviction.runs.folder import change_model_card

    change_model_card(run / "model.keras", {"decision": {"class_name": "medium", "threshold": 0.5}})
    with pytest.raises(conviction.ConvictionError, match=r"model\.keras: the file is damaged"):
        _ = conviction.load_run(run).class_names
