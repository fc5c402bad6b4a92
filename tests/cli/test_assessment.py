"""``evaluate``, ``report`` and ``compare`` on real runs, and the requests that they must refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.errors import EvaluationError, RequestError, RunError
from conviction.evaluation import checked
from conviction.flow.finished import evaluate_answers
from conviction.flow.report import report
from conviction.runs.predictions import read_predictions
from conviction.version import SCHEMA
from tests.conftest import Cli, run_cli

LAB = ["recipe=lab", "training.epochs=3"]
KEYS = [*LAB, "model.filters=[4]"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on digits: ``plain``, and ``sealed``, whose test set was not opened."""
    place = tmp_path_factory.mktemp("desk")
    plain = run_cli("fit", "digits", *KEYS, "--out", "plain", cwd=place, home=place / "home")
    assert plain.code == 0, plain.err
    sealed = [*LAB, "model.filters=[8]", "evaluation.test=false", "evaluation.calibrate=true"]
    assert run_cli("fit", "digits", *sealed, "--out", "sealed", cwd=place, home=place / "home").code == 0
    return place


@pytest.fixture(autouse=True)
def _ledger_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVICTION_HOME", str(tmp_path / "home"))


@pytest.fixture
def here(desk: Path, tmp_path: Path) -> Path:
    """A copy, which a test may change, with the same ledger."""
    shutil.copytree(desk, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_predictions_are_kept_and_are_those_of_the_saved_model(desk: Path) -> None:
    run = conviction.load_run(desk / "plain")
    kept = read_predictions(run.path)
    assert set(kept) == {"train", "validation", "test"}
    assert set(read_predictions(desk / "sealed")) == {"train", "validation"}, "sealed means unseen"
    right = (kept["test"].probabilities.argmax(axis=1) == kept["test"].labels).mean()
    assert right == pytest.approx(run.evaluation.accuracy)
    assert kept["test"].hashes == list(run.split.test.values())
    images = conviction.load_source("digits")
    index = [images.names.index(name) for name in run.split.test]
    again = run.predict_pixels(images.pixels[index]).probabilities
    assert kept["test"].probabilities == pytest.approx(again, abs=1e-6)


def test_a_run_is_read_back_by_one_function_that_shows_nothing(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("plain", "sealed"):
        run = conviction.load_run(desk / name)
        answers = read_predictions(run.path)
        ready, evaluation = evaluate_answers(run, answers, None)
        assert {"schema": SCHEMA, **json.loads(json.dumps(evaluation.to_json()))} == json.loads(
            (run.path / "evaluation.json").read_text()
        )
        assert ready.recipe == run.config
        assert [step.title for step in ready.steps][-1] == "Compile"
    assert capfd.readouterr() == ("", "")
    other = {"validation": replace(answers["validation"], hashes=answers["validation"].hashes[::-1])}
    with pytest.raises(RunError, match="belong to other validation images than its data"):
        evaluate_answers(run, other, None)


def test_a_calibrated_model_says_so_and_is_no_worse_on_validation(desk: Path) -> None:
    run = conviction.load_run(desk / "sealed")
    found = run.evaluation.validation.calibration
    assert found.temperature == pytest.approx(run.temperature)
    assert found.temperature != 1.0
    assert found.after["log_loss"].value <= found.before["log_loss"].value
    assert found.after["log_loss"].value == pytest.approx(run.evaluation.validation.loss)
    assert conviction.load_run(desk / "plain").temperature == 1.0
    assert "Temperature scaling" in (desk / "sealed" / "report.html").read_text()


def test_evaluate_opens_a_sealed_test_set_and_counts_it(here: Path, cli: Cli) -> None:
    result = cli("evaluate", "sealed", "--json")
    assert result.code == 0, result.err
    run = conviction.load_run(here / "sealed")
    assert result.json["evaluation"]["test"]["openings"] == 2
    assert run.evaluation.accuracy == result.json["evaluation"]["test"]["accuracy"]
    assert f"{100 * run.evaluation.accuracy:.2f}%" in (here / "sealed" / "report.html").read_text()
    assert "has been opened 3 times" in cli("evaluate", "sealed").out


def test_the_report_is_made_anew_without_opening_anything(here: Path, cli: Cli) -> None:
    before = (here / "plain" / "report.html").read_text()
    (here / "plain" / "report.html").unlink()
    ledger = (here / "home" / "openings.jsonl").read_bytes()
    result = cli("report", "plain", "--png", "figures", "--pdf", "paper")
    assert result.code == 0, result.err
    after = (here / "plain" / "report.html").read_text()
    # What was decided stands in the specification now, so that one sentence need not say how to change it.
    changed = [a for a, b in zip(before.split("<p>"), after.split("<p>"), strict=True) if a != b]
    assert all("data.image_size" in sentence for sentence in changed), changed
    assert (here / "home" / "openings.jsonl").read_bytes() == ledger
    assert result.out.split()[0] == "plain/report.html"
    for name in ("curves", "reliability", "confusion"):
        with Image.open(here / "figures" / f"{name}.png") as picture:
            assert picture.width > 700
        assert (here / "paper" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_new_images_are_scored_by_class_names(here: Path, cli: Cli) -> None:
    images = conviction.load_source("digits")
    for i in range(60):
        name = images.class_names[images.labels[i]]
        folder = here / "scans" / ("cat" if name == "3" else name) / "left"[: 4 * (i % 2)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[i, :, :, 0]).save(folder / f"{i}.png")
    (here / "scans" / "0" / "broken.png").write_bytes(b"no picture")
    cats = int((images.labels[:60] == 3).sum())
    result = cli("evaluate", "plain", "scans", "--html", "page.html", "--json")
    assert result.code == 0, result.err
    assert result.json["n"] == 60 - cats
    assert result.json["openings"] == 1
    notes = " ".join(result.json["notes"])
    assert "Left out 1 unreadable file: 0/broken.png" in notes
    assert f"does not know are left out: cat ({cats} images)" in notes
    assert "that have no images here, so this says nothing about them: 3." in notes
    classes = {c["name"]: c for c in result.json["per_class"]}
    assert classes["3"]["recall"] is None, "undefined, not zero"
    run = conviction.load_run(here / "plain")
    kept = images.labels[:60] != 3
    expected = run.predict_pixels(images.pixels[:60][kept]).probabilities.argmax(axis=1)
    assert result.json["accuracy"] == pytest.approx((expected == images.labels[:60][kept]).mean())
    assert "folder" in [s["property"] for s in result.json["slices"]]
    assert f"{100 * result.json['accuracy']:.2f}%" in (here / "page.html").read_text()
    assert "once, for this figure" in cli("evaluate", "plain", "digits").out.replace("\n", " ")
    assert "are among those that the run was trained or chosen with" in cli("evaluate", "plain", "digits").out


def test_one_image_can_be_scored(here: Path) -> None:
    images = conviction.load_source("digits")
    (here / "one" / "5").mkdir(parents=True)
    Image.fromarray(images.pixels[5, :, :, 0]).save(here / "one" / "5" / "a.png")
    found = conviction.evaluate_new(here / "plain", here / "one")
    assert found.part.score.n == 1
    assert found.part.score.accuracy in (0.0, 1.0)
    assert all(np.isfinite([f.value, *(f.ci95 or ())]).all() for f in found.part.figures.values())


def test_runs_are_compared_image_by_image(here: Path, cli: Cli) -> None:
    assert cli("evaluate", "sealed").code == 0
    result = cli("compare", "plain", "sealed", "--html", "page.html", "--json")
    assert result.code == 0, result.err
    kept = [read_predictions(here / name)["test"] for name in ("plain", "sealed")]
    assert kept[0].hashes == kept[1].hashes
    mine, its = (k.probabilities.argmax(axis=1) == k.labels for k in kept)
    (pair,) = result.json["pairs"]
    assert (pair["first_only"], pair["other_only"]) == ((mine & ~its).sum(), (its & ~mine).sum())
    assert pair["difference"] == pytest.approx(its.mean() - mine.mean())
    assert pair["difference_ci95"][0] <= pair["difference"] <= pair["difference_ci95"][1]
    assert result.json["openings"] == 2
    assert set(result.json["specification"]) == {"evaluation.test", "evaluation.calibrate"}
    assert any(change.startswith("conv_1: ") for change in result.json["networks"]["sealed"])
    page = (here / "page.html").read_text()
    assert page.count('<figure class="guess"') == min(12, pair["first_only"]) + min(12, pair["other_only"])
    assert "sealed, its network against the first: conv_1: " in cli("compare", "plain", "sealed").out


def test_a_sealed_run_is_compared_on_validation_images(desk: Path) -> None:
    found = conviction.compare([desk / "plain", desk / "sealed"])
    assert (found.part, found.openings) == ("validation", 0)
    assert any("sealed" in note for note in found.notes)


@pytest.mark.full
def test_comparisons_that_would_mean_nothing_are_refused(
    here: Path, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    def refused(*names: str) -> str:
        with pytest.raises(RequestError) as caught:
            conviction.compare([here / name for name in names])
        return str(caught.value)

    conviction.fit("digits", [*KEYS, "data.test=0.3"], out=here / "other")
    assert "have different test sets" in refused("plain", "other")
    conviction.fit("digits", [*KEYS, "training.seed=1", "evaluation.test=false"], out=here / "seed")
    said = refused("plain", "seed")
    assert "The validation images of the runs differ" in said
    assert f"conviction.evaluate('{here / 'seed'}')" in said
    conviction.evaluate(here / "seed")
    notes = conviction.compare([here / "plain", here / "seed"]).notes
    assert any("did not learn from the same images" in note for note in notes)
    conviction.fit(image_folder(), [*KEYS, "data.image_size=16"], out=here / "letters")
    assert "have different classes" in refused("plain", "letters")
    assert "given twice" in refused("plain", "plain")
    assert "at least two runs" in refused("plain")
    (here / "plain" / "predictions.npz").write_bytes(b"PK")
    assert "the file is damaged" in refused("plain", "seed")
    (here / "plain" / "predictions.npz").unlink()
    assert "Make them with: conviction.evaluate(" in refused("plain", "seed")


@pytest.mark.full
def test_what_cannot_be_evaluated_is_refused_in_a_line(
    here: Path, image_folder: Callable[..., Path], cli: Cli
) -> None:
    strange = image_folder("strange", ("a", "b"), 4)
    result = cli("evaluate", "plain", strange)
    assert result.code == 2
    assert "none of its classes (a, b) is one of the run's" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert cli("evaluate", "plain", "--html", "x.html").code == 2
    assert cli("evaluate", "nowhere").code == 2
    (here / "plain" / "evaluation.json").unlink()
    for ask in (conviction.evaluate, lambda run: conviction.compare([run, here / "sealed"])):
        with pytest.raises(RunError, match="expected a finished run; this one is interrupted"):
            ask(here / "plain")
    report(here / "plain")
    assert "was stopped after 3 of 3 epochs" in (here / "plain" / "report.html").read_text()
    (here / "plain" / "model.keras").unlink()
    with pytest.raises(RunError, match="nothing to report"):
        report(here / "plain")


def test_two_classes_have_areas_and_a_threshold(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    source = image_folder(per_class=40)
    table = tmp_path / "about.csv"
    names = [f"{p.parent.name}/{p.name}" for p in sorted(source.rglob("*.png"))]
    table.write_text("\n".join(["file,camera", *(f"{n},{i % 2}" for i, n in enumerate(names))]))
    run = conviction.fit(
        source,
        [*KEYS, "data.image_size=16", f"evaluation.metadata={json.dumps(str(table))}"],
        out=tmp_path / "run",
    )
    found = run.evaluation.test.two_classes
    assert found.positive == "dog"
    assert 0 < found.threshold < 1
    assert found.roc_auc.ci95[0] <= found.roc_auc.value <= 1
    assert "camera" in [s.property for s in run.evaluation.test.slices]
    assert "ROC AUC" in (tmp_path / "run" / "report.html").read_text()


def test_outputs_that_are_not_numbers_are_an_error() -> None:
    with pytest.raises(EvaluationError, match="not a number for 1 of 2 images"):
        checked(np.array([[0.5, 0.5], [np.nan, 0.5]]))


def test_a_model_that_is_no_image_classifier_is_refused(here: Path) -> None:
    import keras

    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    network.save(here / "plain" / "model.keras")
    with pytest.raises(RunError, match=r"model\.keras"):
        conviction.evaluate_new(here / "plain", "digits")
