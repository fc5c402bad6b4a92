"""The gate: planted faults are found, and nothing of a refused export stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import conviction
from conviction.artefacts import load
from conviction.artefacts.card import Card
from conviction.artefacts.formats import FORMATS
from conviction.artefacts.parity import TOLERANCE, ask, compare
from conviction.artefacts.pictures import Pictures, picture_files, spread_out
from conviction.artefacts.run_card import card_of
from conviction.errors import ParityError
from conviction.runs import folder
from conviction.runs.predictions import read_predictions
from tests.conftest import Cli, environment, run_cli


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on colour pictures of another size and shape than the network's, so that every fault shows."""
    from PIL import Image

    place = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("red", "green", "blue")):
        (place / "pictures" / name).mkdir(parents=True)
        for i in range(30):
            pixels = rng.integers(0, 120, (40, 52, 3), dtype=np.uint8)
            pixels[..., label] += rng.integers(60, 130, dtype=np.uint8)
            Image.fromarray(pixels).save(place / "pictures" / name / f"{i}.png")
    small = ["training.epochs=4", "model.filters=[8,8]", "model.dense=[8]"]
    small += ["data.image_size=16", "data.fit=crop"]
    done = run_cli("fit", place / "pictures", *small, "--out", "run", cwd=place, home=place / "home")
    assert done.code == 0, done.err
    return place / "run"


FULL = ("no scaling", "other scaling", "other resize", "other fit")


def built(run: Path, fault: str) -> tuple[Any, Card]:
    """The run's model with a planted fault of preprocessing, and the card that goes with it."""
    import keras

    opened = conviction.load_run(run)
    model, card = opened.model, card_of(opened, "onnx")
    shape = opened.rule.shape
    layers: list[Any] = list(model.layers)
    pixels = keras.Input(shape, dtype="uint8", name="pixels")
    if fault == "no scaling":
        layers[0] = keras.layers.Rescaling(1.0)
    if fault == "other scaling":
        layers[0] = keras.layers.Rescaling(1.0 / 127.5, offset=-1.0)
    if fault == "other fit":
        card = card.model_copy(update={"decoding": card.decoding.model_copy(update={"fit": "stretch"})})
    if fault == "other resize":
        card = card.model_copy(
            update={"decoding": card.decoding.model_copy(update={"height": 32, "width": 32})}
        )
        pixels = keras.Input((32, 32, 3), dtype="uint8", name="pixels")
        layers.insert(1, keras.layers.MaxPooling2D())
    if fault == "swapped channels":
        convolution = next(layer for layer in layers if type(layer).__name__ == "Conv2D")
        kernel, *rest = convolution.get_weights()
        convolution.set_weights([kernel[:, :, ::-1], *rest])
    x: Any = pixels
    for layer in layers:
        x = layer(x)
    whole = keras.Model(pixels, x)
    whole(np.zeros((1, *pixels.shape[1:]), np.uint8))
    return whole, card


@pytest.mark.parametrize(
    "fault",
    [
        "none",
        "swapped channels",
        *(pytest.param(f, marks=pytest.mark.full) for f in FULL),
    ],
)
def test_planted_faults_of_preprocessing_are_found(colours: Path, tmp_path: Path, fault: str) -> None:
    model, card = built(colours, fault)
    path = tmp_path / "model.onnx"
    FORMATS["onnx"].write(model, path, card, np.empty((0, 16, 16, 3), np.uint8))
    answers = read_predictions(colours)["test"]
    data = conviction.load_run(colours).data
    names = list(data.split.test)
    answered = ask(path, Pictures(str(colours.parent / data.location), names), tmp_path)
    if fault == "none":
        parity = compare(answers.probabilities, answered, path.name, "test", None)
        assert parity.greatest < 1e-5
        assert parity.images == len(names)
    else:
        with pytest.raises(ParityError, match="does not give the answers of the model that was tested"):
            compare(answers.probabilities, answered, path.name, "test", None)


def test_a_refused_export_leaves_nothing(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conviction.flow import export as commands

    def swapped(name: str, *arguments: str, doing: str) -> None:
        model, card = built(colours, "swapped channels")
        for asked in json.loads(Path(arguments[0]).read_text())["artefacts"]:
            FORMATS[asked["format"]].write(
                model, Path(asked["path"]), card, np.empty((0, 16, 16, 3), np.uint8)
            )

    monkeypatch.setattr(commands, "run_module", swapped)
    with pytest.raises(ParityError, match="Nothing was kept"):
        commands.export(colours, ["onnx"], out=tmp_path / "exports")
    assert not (tmp_path / "exports").exists()


def probabilities(draw: Any) -> np.ndarray:
    raw = draw(arrays(np.int64, (8, 3), elements=st.integers(1, 1000))).astype(np.float64)
    return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


@given(st.data())
def test_the_rule(data: st.DataObject) -> None:
    """Within the tolerance all is well unless a clear winner changes; beyond it nothing is."""
    reference = probabilities(data.draw)
    millionths = data.draw(arrays(np.int64, (8, 3), elements=st.integers(-90, 90)))  # the tolerance is 100
    noise = (millionths * 1e-6).astype(np.float32)
    parity = compare(reference, reference + noise, "it", "test", None)
    assert parity.greatest <= TOLERANCE
    row, column = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 2))
    wrong = reference.copy()
    wrong[row, column] += np.float32(2 * TOLERANCE)
    with pytest.raises(ParityError, match="1 of 8 test images differ"):
        compare(reference, wrong, "it", "test", None)
    wrong[row, column] = np.nan
    with pytest.raises(ParityError):
        compare(reference, wrong, "it", "test", None)
    with pytest.raises(ParityError, match="shape"):
        compare(reference, reference[:, :2], "it", "test", None)


@pytest.mark.full
@pytest.mark.parametrize("small", [pytest.param("float16", marks=pytest.mark.long), "int8"])
def test_quantized_artefacts_are_held_to_an_accuracy(
    colours: Path, tmp_path: Path, cli: Cli, small: str
) -> None:
    done = cli("export", colours, "--format", "onnx,litert", "--quantize", small, "--out", "q", "--json")
    assert done.code == 0, done.err
    for made in done.json["exports"]:
        assert made["parity"]["lost"] is not None
        assert made["parity"]["lost_ci95"][0] <= made["parity"]["lost"] <= made["parity"]["lost_ci95"][1]
        opened = load(tmp_path / made["path"])
        assert opened.card.quantized == small
        assert any(small in limit for limit in opened.card.limits)
        whole = {"onnx": "model.onnx", "litert": "model.tflite"}[made["format"]]
        assert Path(made["path"]).name == whole.replace(".", f"-{small}.")


def test_a_quantized_artefact_that_lost_too_much_is_refused() -> None:
    from conviction.flow.export import _accept, _loss

    labels = np.arange(200) % 2
    reference = np.eye(2, dtype=np.float32)[labels]
    answered = reference.copy()
    answered[:6] = answered[:6, ::-1]
    parity = compare(reference, answered, "it", "test", "int8")
    found = replace(parity, **_loss(reference, answered, labels))
    assert found.lost == pytest.approx(0.03)
    assert found.other_classes == 6
    _accept(found, "it", 0.03)
    with pytest.raises(ParityError, match=r"loses 3\.00 points"):
        _accept(found, "it", 0.029)


@given(st.integers(0, 5000), st.integers(1, 1000))
def test_pictures_are_drawn_evenly(n: int, most: int) -> None:
    chosen = spread_out(n, most)
    assert len(chosen) == min(n, most)
    assert len(np.unique(chosen)) == len(chosen)
    if n:
        assert chosen[0] == 0
        assert chosen[-1] == n - 1 or most == 1


def test_arrays_become_pictures_that_lose_nothing(trained: Path, tmp_path: Path) -> None:
    from conviction.data.decode import decode
    from conviction.flow.again import load_again

    run = conviction.load_run(trained)
    images = load_again(run, None)
    found = picture_files(images, np.arange(5), tmp_path)
    for i, name in enumerate(found.names):
        np.testing.assert_array_equal(decode((tmp_path / name).read_bytes(), run.rule), images.pixels[i])


def test_wrong_requests(cli: Cli, trained: Path, tmp_path: Path) -> None:
    for arguments, said in [
        (("--format", "onx"), "Did you mean 'onnx'"),
        (("--format", ","), "at least one"),
        (("--format", "keras", "--quantize", "int8"), "only onnx, litert can be quantized"),
        (("--quantize", "int4"), "expected float16 or int8"),
        (("--most-lost", "2"), "from 0 to 1"),
    ]:
        done = cli("export", trained, *arguments)
        assert done.code == 2
        assert said in done.err
        assert "Traceback" not in done.err
    (tmp_path / "file").touch()
    assert "this is a file" in cli("export", trained, "--out", "file").err
    assert not (trained / "exports").exists()


@pytest.mark.full
def test_data_that_has_changed_is_refused(cli: Cli, colours: Path, tmp_path: Path) -> None:
    shutil.copytree(colours, tmp_path / "run")
    content = json.loads((tmp_path / "run" / "data.json").read_text())
    moved = tmp_path / "pictures"
    shutil.copytree(Path(content["location"]), moved)
    content["source"] = str(moved)
    (tmp_path / "run" / "data.json").write_text(json.dumps(content))
    for name in content["split"]["test"]:
        (moved / name).unlink()
        break
    done = cli("export", "run")
    assert done.code == 2
    assert "1 of" in done.err
    assert "gone or changed" in done.err
    assert not (tmp_path / "run" / "exports").exists()


@pytest.mark.full
def test_a_killed_export_is_cleared_away_and_another_waits_its_turn(
    cli: Cli, colours: Path, tmp_path: Path
) -> None:
    """A real SIGKILL while the converter works."""
    place = tmp_path / "exports"
    process = subprocess.Popen(
        [sys.executable, "-m", "conviction", "export", str(colours), "--out", str(place)],
        env=environment(tmp_path / "home"),
        start_new_session=True,
    )
    while process.poll() is None and not list(place.glob(".export-*/job.json")):
        pass
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(place.glob(".export-*"))
    # The system is free to end a process that was just being forked for the converter a moment after the one awaited.
    with folder.claimed(place, wait=True):
        done = cli("export", colours, "--out", "exports")
        assert done.code == 2
        assert "another process is working in this folder" in done.err
    done = cli("export", colours, "--out", "exports")
    assert done.code == 0, done.err
    assert sorted(p.name for p in place.iterdir()) == ["MODEL_CARD.md", "export.json", "model.onnx"]


@pytest.mark.full
def test_a_full_disk_leaves_nothing(cli: Cli, colours: Path, tmp_path: Path) -> None:
    done = cli("export", colours, "--out", "exports", largest_file=3000)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert not (tmp_path / "exports").exists()
