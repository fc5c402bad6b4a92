"""``evaluation.folds``: out of fold means out of fold, finished folds are kept, and what is said of them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.artefacts.run_card import card_of, card_page
from conviction.cli.runs import runs_table
from conviction.config import load_recipe
from conviction.errors import RequestError, RunError, SourceError
from conviction.evaluation import estimate_recipe
from conviction.flow import folds as flow_folds
from conviction.flow.folds import begun_folds, read_estimate, run_folds
from conviction.flow.prepare import Prepared, prepare_run
from conviction.reporting import Silent, folds_ahead, folds_step
from conviction.runs.folds import read_folds
from conviction.training import StopRequest
from tests.cli.test_interruption import start
from tests.conftest import Cli
from tests.patience import PATIENCE

TINY = ("recipe=lab", "model.filters=[2]", "model.dense=[4]", "training.epochs=1", "training.batch_size=8")


def prepared(source: Path, *keys: str) -> Prepared:
    recipe = load_recipe([*TINY, *keys])
    return prepare_run(source, recipe, None, lambda facts: load_recipe([*TINY, *keys], facts=facts))


class Memory:
    """In place of training: a network that answers perfectly for images that it has seen, and the first class else."""

    def __init__(self, patch: pytest.MonkeyPatch, stop_after: int | None = None) -> None:
        self.stop, self._stop_after = StopRequest(), stop_after
        self.trained: list[tuple[int, bytes]] = []
        patch.setattr(flow_folds, "learn", self._learn)
        patch.setattr(flow_folds, "predict_images", self._predict)

    def _learn(self, ready: Prepared, **_: Any) -> SimpleNamespace:
        if len(self.trained) == self._stop_after:
            self.stop.signal_number = signal.SIGINT
        self.trained.append((ready.recipe.training.seed, ready.split.test.tobytes()))
        return SimpleNamespace(model={*ready.split.train.tolist(), *ready.split.validation.tolist()})

    @staticmethod
    def _predict(model: set[int], images: Any, index: np.ndarray, views: int) -> np.ndarray:
        assert views == 1
        labels = [int(images.labels[i]) if i in model else 0 for i in index.tolist()]
        return np.eye(len(images.class_names), dtype=np.float32)[labels]


def test_a_network_that_knows_by_heart_what_it_has_seen_is_as_good_as_chance(
    image_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = prepared(image_folder(), "evaluation.folds=4x3", "training.seed=5")
    memory = Memory(monkeypatch)
    assert run_folds(tmp_path, ready, Silent(), memory.stop) == 12
    estimate = read_estimate(tmp_path, ready)
    assert estimate is not None
    assert estimate.accuracy.value == 0.5  # two classes of equal size, also in each fold
    assert estimate.n == len(ready.split.train) + len(ready.split.validation)
    # Each repetition has its own seed, and its own folds.
    assert [seed for seed, _ in memory.trained] == [5] * 4 + [6] * 4 + [7] * 4
    assert len({fold for _, fold in memory.trained}) == 12
    test = set(ready.split.test.tolist())
    for splits in ready.folds:
        assert not test & {int(i) for s in splits for part in (s.train, s.validation, s.test) for i in part}


def test_finished_folds_are_not_trained_again_and_other_settings_begin_from_the_start(
    image_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = prepared(image_folder(), "evaluation.folds=3x2")
    stopped = Memory(monkeypatch, stop_after=2)
    assert run_folds(tmp_path, ready, Silent(), stopped.stop) == 2
    assert len(stopped.trained) == 3, "the third was being trained"
    with pytest.raises(RunError, match=r"only 2 of 6 folds are done"):
        read_estimate(tmp_path, ready)
    rest = Memory(monkeypatch)
    assert run_folds(tmp_path, ready, Silent(), rest.stop) == 6
    assert len(rest.trained) == 4
    assert len(begun_folds(tmp_path, ready).done) == 6
    spec = ready.recipe.training.model_copy(update={"epochs": 2})
    longer = replace(ready, recipe=ready.recipe.model_copy(update={"training": spec}))
    assert begun_folds(tmp_path, longer).done == []
    (tmp_path / "folds.npz").write_bytes(b"damaged")
    assert begun_folds(tmp_path, ready).done == []
    with pytest.raises(RunError, match=r"folds\.npz: the file is damaged"):
        read_estimate(tmp_path, ready)


@pytest.mark.parametrize("value", ["1x5", "1", "5x0", "5x", "x", "0x0", "101x1", "true"])
def test_what_is_no_number_of_folds_and_repetitions_is_refused(value: str) -> None:
    with pytest.raises(
        RequestError,
        match=r"evaluation\.folds: expected FOLDS such as 5, or FOLDSxREPETITIONS such as 5x2.*; got",
    ):
        load_recipe([f"evaluation.folds={value}"])


def test_a_number_of_folds_alone_divides_once() -> None:
    assert load_recipe(["evaluation.folds=5"]).evaluation.folds == "5x1"


def test_folds_that_the_images_do_not_allow_are_refused_before_anything_is_written(
    image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = image_folder(per_class=8)
    with pytest.raises(SourceError, match=r"evaluation\.folds: 20 folds are too many for class 'cat'"):
        conviction.fit(source, [*TINY, "evaluation.folds=20x1"], out=tmp_path / "run", show=Silent())
    with pytest.raises(
        RequestError, match=r"training\.batch_size: expected at most \d+, .* evaluation\.folds=2x1"
    ):
        conviction.fit(source, [*TINY, "evaluation.folds=2x1"], out=tmp_path / "run", show=Silent())
    assert not (tmp_path / "run").exists()
    # Unless it was asked for, a batch fits: of 16 images, a fold of two leaves too few for the recipe's own.
    keys = ["model.filters=[2]", "model.dense=[4]", "training.epochs=1", "evaluation.folds=2x1"]
    run = conviction.fit(source, keys, out=tmp_path / "run", show=Silent())
    assert run.evaluation.folds is not None


def test_the_time_is_announced() -> None:
    recipe = load_recipe(["evaluation.folds=5x2"])
    assert "10 more networks" in folds_ahead(recipe)[0]
    assert "about 8 times as long" in folds_ahead(recipe)[0]
    split: Any = SimpleNamespace(train=range(80), validation=range(20))
    assert "That takes about 8 minutes." in folds_step(recipe, split, 0, 60.0).sentences
    assert "That takes about 40 seconds." in folds_step(recipe, split, 5, 10.0).sentences
    assert "5 of 10 are done." in folds_step(recipe, split, 5, 10.0).sentences
    assert folds_ahead(load_recipe([])) == []


def test_the_estimate_is_wherever_the_test_accuracy_is(cli: Cli, image_folder: Callable[..., Path]) -> None:
    source = image_folder(per_class=16)
    done = cli("fit", source, *TINY, "evaluation.folds=2x1", "--out", "runs/folds")
    assert done.code == 0, done.err
    assert done.err == ""
    path = source.parent / "runs" / "folds"
    run = conviction.load_run(path)
    folds, answers = run.evaluation.folds, read_folds(path)
    assert folds is not None
    again = estimate_recipe(answers.probabilities, answers.labels, answers.fold, answers.learned)
    assert folds.accuracy == again.accuracy
    totals = run.data.counts.totals
    assert folds.n == len(answers.labels) == totals["train"] + totals["validation"]
    assert run.evaluation.openings == 1
    words = f"accuracy {again.accuracy.value:.2%}"
    assert f"Cross-validation (2 folds): {words}" in done.out
    assert "had not seen it" in done.out
    page = (path / "report.html").read_text()
    assert f"Cross-validation of the recipe: {words}" in page
    assert "Folds</h3>" in page
    rows = runs_table([run])
    assert rows[0]["folds_accuracy"] == again.accuracy.value
    card = card_of(run, "onnx")
    assert card.folds is not None
    assert card.folds.accuracy == again.accuracy.value
    assert "cross-validation, 2 folds, 1 time)" in card_page(card, [])


@pytest.mark.full
def test_a_small_test_set_suggests_folds_that_can_be_made_and_comparisons_show_them(
    cli: Cli, image_folder: Callable[..., Path]
) -> None:
    source = image_folder(per_class=8)
    plain = cli("fit", source, *TINY[:-1], "training.batch_size=4", "--out", "plain")
    assert plain.code == 0, plain.err
    assert "The test set has only 4 images" in plain.out
    command = next(line for line in plain.out.splitlines() if "evaluation.folds=" in line)
    typed = command.split("conviction fit ")[1].split()
    assert typed[-1].startswith("evaluation.folds=")
    done = cli("fit", *typed, "--out", "folds")
    assert done.code == 0, done.err
    assert "The test set has only" not in done.out
    assert "cross-validation [95% interval]" in cli("runs", ".").out
    # The report is made again from what was kept, and says the same.
    page = source.parent / "folds" / "report.html"
    words = "Cross-validation of the recipe: "
    before = page.read_text()
    assert cli("report", "folds").code == 0
    assert page.read_text().partition(words)[2][:100] == before.partition(words)[2][:100] != ""
    compared = cli("compare", "plain", "folds")
    assert compared.code == 0, compared.err
    assert "cross-validation" in compared.out
    figures = cli("compare", "plain", "folds", "--json").json["folds"]
    other = cli("fit", *typed, "training.epochs=3", "--out", "other")
    assert other.code == 0, other.err
    assert (
        "other: by cross-validation on the same folds, its recipe is" in cli("compare", "folds", "other").out
    )
    assert figures[0] is None
    assert figures[1]["value"] == conviction.load_run(source.parent / "folds").evaluation.folds.accuracy.value  # type: ignore[union-attr]


@pytest.mark.full
def test_labels_drawn_at_random_come_out_at_chance_although_they_are_learned_by_heart(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for label in ("heads", "tails"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{i}.png")
    layers = "model.layers=[{type: Flatten}]"
    keys = ["recipe=lab", layers, "training.epochs=30", "training.learning_rate=0.01"]
    run = conviction.fit(
        tmp_path / "pictures", [*keys, "evaluation.folds=5x2"], out=tmp_path / "run", show=Silent()
    )
    folds = run.evaluation.folds
    assert run.evaluation.train.accuracy == 1.0
    assert folds is not None
    assert folds.accuracy.ci95 is not None
    low, high = folds.accuracy.ci95
    assert low < 0.5 < high
    assert 0.35 < folds.accuracy.value < 0.65


SLOW = (*TINY[:-2], "training.epochs=3", "training.batch_size=8", "evaluation.folds=3x2")


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_run_that_is_stopped_among_its_folds_ends_with_the_same_answers(
    tmp_path: Path, image_folder: Callable[..., Path], cli: Cli, number: int
) -> None:
    image_folder(per_class=20)
    assert cli("fit", "pictures", *SLOW, "--out", "whole").code == 0
    process = start(tmp_path, "fit", "pictures", *SLOW, "--out", "run")
    kept = tmp_path / "run" / "folds.npz"
    while not kept.is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    run = conviction.load_run(tmp_path / "run")
    assert run.status == "interrupted"
    begun = read_folds(run.path).done
    assert 1 <= len(begun) < 6
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert f"SIGINT stopped the run when {len(begun)} of 6 folds were done. Nothing is lost" in err
        assert (run.path / "report.html").is_file()
    resumed = cli("resume", "run")
    assert resumed.code == 0, resumed.err
    assert f"{len(begun)} of 6 are done." in resumed.out
    for one, two in zip(
        vars(read_folds(run.path)).values(), vars(read_folds(tmp_path / "whole")).values(), strict=True
    ):
        assert np.array_equal(one, two)
    estimates = [
        json.loads((tmp_path / name / "evaluation.json").read_text())["folds"] for name in ("run", "whole")
    ]
    assert estimates[0] == estimates[1]
    # The test set was opened once by each run, however often it was stopped.
    assert conviction.load_run(tmp_path / "run").evaluation.openings == 2
