"""What CONTRIBUTING.md promises: a source, an augmentation and an export format are each added in at most three files.

Each is registered here in nothing but what those files hold, for the length of the tests, and must be reachable from
everywhere else.
"""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic.fields import FieldInfo

import conviction
from conviction.artefacts import converting
from conviction.artefacts.answering import answers
from conviction.artefacts.artefact import Artefact, Predictor
from conviction.artefacts.card import Card
from conviction.artefacts.formats import FORMATS, Format, keras_file
from conviction.cli.main import app
from conviction.config import AugmentationSpec, DataSpec, Recipe
from conviction.data import DecodingRule, ImageSet
from conviction.data.arrays import Arrays, load_arrays
from conviction.data.origin import Origin
from conviction.data.source import SOURCE_KINDS, SourceKind
from conviction.flow import export as exporting
from conviction.programs import reading_code
from conviction.programs.varying_code import varying_code
from conviction.runs import RunFolder
from conviction.training.augment import augment
from conviction.training.augmentations import AUGMENTATIONS, Augmentation
from tests.conftest import picture

if TYPE_CHECKING:
    import keras


# A source: its file, with the loader and the origin ...
@dataclass(frozen=True)
class RawFile(Origin):
    """Gray images of 8x8 bytes, each after a byte for its class."""

    path: Path


def read_raw(path: Path) -> Arrays:
    rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 65)
    parts = {"": (rows[:, 1:].reshape(-1, 8, 8), rows[:, 0].astype(np.int64))}
    return Arrays(path.stem, str(path), RawFile(path), parts)


def load_raw(path: Path, spec: DataSpec, rule: DecodingRule | None) -> ImageSet:
    return load_arrays(read_raw(path), spec, rule)


# ... its line in data/source.py ...
RAW = SourceKind("a .raw of bytes", lambda path: path.suffix == ".raw", load_raw)


# ... and its case in programs/reading_code.py.
def raw_arrays(images: ImageSet) -> str:
    assert isinstance(images.origin, RawFile)
    return 'arrays = {"image": np.fromfile(DATA, "uint8").reshape(-1, 65)[:, 1:].reshape(-1, 8, 8)}'


# An augmentation: its file. The list in training/augmentations and the key in config/training.py are the others.
def draw_negatives(
    chance: np.random.Generator, negative: float, n: int, height: int, width: int
) -> np.ndarray:
    return chance.random(n) < negative


def negate(pixels: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    return np.where(negatives[:, np.newaxis, np.newaxis, np.newaxis], WHITE - pixels, pixels)


def negative_sentence(negative: float, height: int, width: int) -> str:
    return f"{negative:.0%} of the images become their negatives"


WHITE = 255
NEGATIVE = Augmentation(
    key="negative",
    stream=99,
    draw=draw_negatives,
    effect=negate,
    takes=("negative",),
    sentence=negative_sentence,
)


# An export format: its file. The table in artefacts/formats is the other.
def write_boxed(model: keras.Model, path: Path, card: Card, calibration: np.ndarray) -> None:
    beside = path.with_suffix(".keras")
    keras_file.write(model, beside, card, calibration)
    beside.rename(path)


def read_boxed(path: Path, threads: int | None = None) -> Artefact:
    beside = shutil.copy(path, path.with_suffix(".keras"))
    return keras_file.read(Path(beside), threads)


BOXED = Format("boxed", "Boxed", ".boxed", True, False, write_boxed, read_boxed)


def in_this_process(name: str, *arguments: str, doing: str) -> None:
    """In place of a process of its own, which would not know what is registered here."""
    if name == converting.__name__:
        converting.convert(json.loads(Path(arguments[0]).read_text()))
        return
    asked = json.loads(Path(arguments[1]).read_text())
    opened: Predictor = conviction.load(arguments[0])
    np.save(arguments[2], answers(opened, Path(asked["location"]), asked["names"]))


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a source of the new kind; all three are registered."""
    folder = tmp_path_factory.mktemp("added")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVICTION_HOME", str(folder / "home"))
        patch.setattr("conviction.artefacts.parity.run_module", in_this_process)
        patch.setattr(exporting, "run_module", in_this_process)
        patch.setattr("conviction.artefacts.opening.try_apart", lambda form, path: None)
        patch.setitem(FORMATS, "boxed", BOXED)
        patch.setattr(reading_code, "_raw_arrays", raw_arrays)
        SOURCE_KINDS.append(RAW)
        AUGMENTATIONS.append(NEGATIVE)
        fields: dict[str, FieldInfo] = AugmentationSpec.__pydantic_fields__
        fields["negative"] = FieldInfo(annotation=float, default=0.0)
        rebuild()
        images = [bytes([i % 2, *picture(i, i % 2, (8, 8))[..., 0].tobytes()]) for i in range(40)]
        (folder / "all.raw").write_bytes(b"".join(images))
        yield folder
        SOURCE_KINDS.remove(RAW)
        AUGMENTATIONS.remove(NEGATIVE)
        del fields["negative"]
        rebuild()


def rebuild() -> None:
    AugmentationSpec.model_rebuild(force=True)
    Recipe.model_rebuild(force=True)


@pytest.fixture(scope="module")
def run(added: Path) -> RunFolder:
    """``conviction fit`` of the new source with the new augmentation."""
    keys = ["recipe=lab", "model.filters=[4]", "model.dense=[4]", "training.epochs=1"]
    app(
        ["fit", str(added / "all.raw"), *keys, "augmentation.negative=0.5", "--out", str(added / "run")],
        standalone_mode=False,
    )
    return conviction.load_run(added / "run")


def shown_help(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    app([command, "--help"], standalone_mode=False)
    return " ".join(capsys.readouterr().out.split())


def test_a_new_source_is_fitted_and_listed(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.status == "done"
    assert run.data.location.endswith("all.raw")
    assert RAW.words in shown_help("fit", capsys)
    with pytest.raises(conviction.ConvictionError, match=f"or {RAW.words}; got another kind"):
        conviction.fit(__file__)


def test_a_new_augmentation_trains_is_reported_and_exported(run: RunFolder) -> None:
    spec = run.config.augmentation
    pixels = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8, 1)
    targets = np.eye(4, dtype=np.float32)
    x, _ = augment(pixels, targets, spec, seed=3, epoch=1, step=0)
    turned = [np.array_equal(after, 255 - before) for before, after in zip(pixels, x, strict=True)]
    assert 0 < sum(turned) < 4
    sentence = "augmentation.negative=0.5: 50% of the images become their negatives"
    assert sentence in (run.path / "report.html").read_text()
    names: dict[str, Any] = {"np": np}
    exec("from __future__ import annotations\n" + varying_code(spec, 3), names)
    assert np.array_equal(names["vary"](pixels, targets, 1, 0)[0], x)


def test_a_new_format_is_listed_written_and_opened(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown_help("export", capsys)
    assert "boxed, script" in text
    assert "for onnx and litert and boxed" in text
    assert ".boxed" in shown_help("predict", capsys)
    app(["export", str(run.path), "--format", "boxed,script"], standalone_mode=False)
    artefact = conviction.load(run.path / "exports" / "model.boxed")
    assert artefact.class_names == run.class_names
    program = (run.path / "exports" / "script" / "train.py").read_text()
    ast.parse(program)
    assert 'np.fromfile(DATA, "uint8")' in program
    assert "pixels = negate(pixels, negative_draws)" in program
    assert "WHITE = 255" in program
