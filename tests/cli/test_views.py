"""``evaluation.views``: every answer of a run is averaged over versions of the picture, and so is every export's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.runs.predictions import read_predictions
from tests.conftest import FORMATS, Cli, artefact, run_cli
from tests.model.test_views import reference
from tests.programs.test_script_and_notebook import alone, said_accuracy

KEYS = ["recipe=lab", "model.filters=[6]", "training.epochs=2", "augmentation.flip=horizontal"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits whose answers are averaged over six versions: ``six``."""
    folder = tmp_path_factory.mktemp("views")
    keys = [*KEYS, "evaluation.views=6"]
    done = run_cli("fit", "digits", *keys, "--out", "six", cwd=folder, home=folder / "home")
    assert done.code == 0, done.err
    (folder / "shown.txt").write_text(done.out)
    return folder


def averaged(run: conviction.Run, pixels: np.ndarray) -> np.ndarray:
    """What the network of the run answers for six versions, averaged here."""
    return np.mean(
        [np.asarray(run.model.predict_on_batch(one)) for one in reference(pixels, 6, 1, 1)], axis=0
    )


def test_what_is_reported_and_predicted_is_the_average(desk: Path) -> None:
    run = conviction.load_run(desk / "six")
    assert run.config.evaluation.views == 6
    images = conviction.load_source("digits")
    rows = {content: row for row, content in enumerate(images.hex_hashes(np.arange(len(images))))}
    known = read_predictions(run.path)["test"]
    pixels = images.pixels[[rows[content] for content in known.hashes]]
    expected = averaged(run, pixels)
    assert np.allclose(known.probabilities, expected, atol=1e-5)
    assert np.abs(known.probabilities - run.model.predict_on_batch(pixels)).max() > 0.01
    assert run.evaluation.accuracy == pytest.approx((expected.argmax(axis=1) == known.labels).mean())
    assert np.allclose(run.predict_pixels(pixels).probabilities, expected, atol=1e-5)
    shown = " ".join((desk / "shown.txt").read_text().split())
    assert "the mean over 6 versions of the picture, mirrored and shifted (evaluation.views)" in shown
    assert "6 times the arithmetic" in shown


def test_an_explanation_says_what_it_is_of(desk: Path, cli: Cli, tmp_path: Path) -> None:
    pixels = conviction.load_source("digits").pixels[7]
    Image.fromarray(pixels[..., 0] * 16).save(tmp_path / "seven.png")
    run = conviction.load_run(desk / "six")
    done = cli("explain", desk / "six", "seven.png", "--json")
    assert done.code == 0, done.err
    whole = averaged(run, (pixels * 16)[np.newaxis])[0]
    assert list(done.json["averaged"].values()) == pytest.approx(whole.tolist(), abs=1e-4)
    assert done.json["averaged"] != pytest.approx(done.json["probabilities"], abs=1e-3)
    words = " ".join(cli("explain", desk / "six", "seven.png").out.split())
    likeliest = max(done.json["averaged"], key=done.json["averaged"].get)
    assert f"Averaged with its other versions (evaluation.views), the answer is {likeliest}, " in words


def test_where_it_cannot_be_right_it_is_refused(cli: Cli) -> None:
    for keys, message in (
        (["evaluation.views=2"], "with augmentation.flip=none the network learns from none"),
        (["evaluation.views=3"], "evaluation.views: expected 1, 2 or 6"),
        (
            [*KEYS, "evaluation.views=2", "evaluation.calibrate=true"],
            "divides the logits of one network, and evaluation.views averages the answers of 2",
        ),
    ):
        refused = cli("fit", "digits", *keys)
        assert refused.code == 2
        assert message in refused.err


def test_the_folds_are_averaged_as_well(cli: Cli, tmp_path: Path) -> None:
    keys = [*KEYS, "evaluation.folds=2", "evaluation.test=false"]
    accuracies = []
    for views in (1, 6):
        done = cli("fit", "digits", *keys, f"evaluation.views={views}", "--out", str(views))
        assert done.code == 0, done.err
        run = conviction.load_run(tmp_path / str(views))
        accuracies.append((run.epoch_rows[-1].val_accuracy, run.evaluation.folds.accuracy.value))
    (before, one), (after, six) = accuracies
    assert before == after
    assert one != six


@pytest.mark.full
@pytest.mark.parametrize("quantized", [None, "int8"])
def test_every_export_answers_as_the_run_does(
    desk: Path, cli: Cli, tmp_path: Path, quantized: str | None
) -> None:
    """The gate of ``export`` compares each with the run."""
    formats = FORMATS if quantized is None else ("onnx", "litert")
    more = [] if quantized is None else ["--quantize", quantized]
    done = cli("export", desk / "six", "--format", ",".join(formats), *more, "--out", "exports", "--json")
    assert done.code == 0, done.err
    for one in done.json["exports"]:
        assert one["parity"]["images"] >= 300
        assert one["parity"]["greatest"] < (1e-5 if quantized is None else 0.2)
    card = (tmp_path / "exports" / "MODEL_CARD.md").read_text()
    assert "Each answer is the mean over 6 versions of the picture, for 6 times the arithmetic." in card


@pytest.mark.full
def test_an_export_is_no_larger_for_it(desk: Path, cli: Cli, tmp_path: Path) -> None:
    """The weights are there once, and the arithmetic of mirroring is small."""
    assert cli("fit", "digits", *KEYS, "--out", "one").code == 0
    sizes = []
    for run in (desk / "six", tmp_path / "one"):
        done = cli("export", run, "--format", "onnx", "--out", tmp_path / f"of {run.name}")
        assert done.code == 0, done.err
        sizes.append(artefact(tmp_path / f"of {run.name}", "onnx").stat().st_size)
    six, one = sizes
    assert six < 1.2 * one


@pytest.mark.full
@pytest.mark.parametrize("views", [pytest.param(2, marks=pytest.mark.long), 6])
def test_a_script_comes_to_the_same_accuracy(cli: Cli, tmp_path: Path, views: int) -> None:
    kernels = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    keys = [*KEYS, f"evaluation.views={views}", "training.precision=float32"]
    assert cli("fit", "digits", *keys, "--out", "run", env=kernels).code == 0
    done = cli("export", "run", "--format", "script")
    assert done.code == 0, done.err
    program = tmp_path / "run" / "exports" / "script" / "train.py"
    assert said_accuracy(tmp_path / "run") in alone(program, "scikit-learn", extra=kernels)


@pytest.mark.full
@pytest.mark.long
def test_a_frozen_backbone_is_averaged_and_so_is_its_script(
    cli: Cli, transferred: Path, tmp_path: Path
) -> None:
    keys = ["recipe=transfer", "data.image_size=32", "augmentation.flip=horizontal", "training.epochs=3"]
    source = transferred.parent / "pictures"
    fitted = cli("fit", source, *keys, "evaluation.views=6", "--out", "run")
    assert fitted.code == 0, fitted.err
    run = conviction.load_run(tmp_path / "run")
    known = read_predictions(run.path)["test"]
    images = conviction.load_source(source, run.config.data)
    rows = {content: row for row, content in enumerate(images.hex_hashes(np.arange(len(images))))}
    pixels = images.pixels[[rows[content] for content in known.hashes]]
    assert np.allclose(known.probabilities, averaged(run, pixels), atol=1e-4)
    done = cli("export", "run", "--format", "script,onnx")
    assert done.code == 0, done.err
    assert said_accuracy(run.path) in alone(run.path / "exports" / "script" / "train.py")
