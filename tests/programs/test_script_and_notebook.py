"""The script and the notebook: alone with Keras, TensorFlow and Pillow, they come to the run's accuracy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import conviction
from tests.conftest import Cli, Exports, environment, picture

# Refuses every import of a package that is not Keras, TensorFlow, Pillow, the named ones, or what these need.
ALONE = """
import runpy, sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
import re

allowed, waiting = set(), sys.argv[2].split(",")
while waiting:
    name = waiting.pop().lower().replace("_", "-")
    if name in allowed:
        continue
    allowed.add(name)
    try:
        needed = requires(name) or []
    except PackageNotFoundError:
        continue
    waiting += [re.match(r"[A-Za-z0-9._-]+", line)[0] for line in needed if "extra ==" not in line]
owners = packages_distributions()

class Refusal:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        of = {d.lower().replace("_", "-") for d in owners.get(top, [])}
        if of and not of & allowed:
            raise ModuleNotFoundError(f"not in a clean environment: {name}", name=name)

sys.meta_path.insert(0, Refusal())
program = sys.argv[1]
sys.argv = [program]
runpy.run_path(program, run_name="__main__")
"""


def alone(program: Path, *more: str, extra: dict[str, str] | None = None) -> str:
    """What a program prints where there is nothing but what it says it needs."""
    needed = ",".join(["keras", "tensorflow", "pillow", *more])
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(program), needed],
        cwd=program.parent,
        env=environment(program.parent / "home", extra),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def said_accuracy(run: Path) -> str:
    test = conviction.load_run(run).evaluation.test
    right = round(test.accuracy * test.n)
    return f"test accuracy {test.accuracy:.4f} ({right} of {test.n} images)"


# What is not Keras's own, so that its source is in the program.
OF_OURS = ("training.optimizer=muon", "model.whitening=true", "model.kernel_initializer=dirac")


@pytest.mark.full
@pytest.mark.parametrize("more", [(), OF_OURS], ids=["default", "whitened and by Muon"])
def test_the_script_of_digits_comes_to_the_same_bits(cli: Cli, tmp_path: Path, more: tuple[str, ...]) -> None:
    """The default recipe: normalisation, a schedule, another activation; in float32, by TensorFlow's own kernels.

    With oneDNN, which TensorFlow takes on processors with AVX512-VNNI or AMX, sums come in another order.
    """
    kernels = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    keys = ("training.precision=float32", "training.epochs=2", *more)
    fitted = cli("fit", "digits", *keys, "--out", "run", env=kernels)
    assert fitted.code == 0, fitted.err
    done = cli("export", "run", "--format", "script")
    assert done.code == 0, done.err
    run = tmp_path / "run"
    program = run / "exports" / "script" / "train.py"
    text = program.read_text()
    assert "conviction" not in text.split('"""')[2]
    printed = alone(program, "scikit-learn", extra=kernels)
    assert said_accuracy(run) in printed
    last = conviction.load_run(run).epoch_rows[-1]
    # The very curve, as far as Keras prints it.
    assert f"val_accuracy: {last.val_accuracy:.4f} - val_loss: {last.val_loss:.4f}" in printed


# Keys that put every part of a program into one.
EVERYTHING = {
    "recipe": "lab",
    "model.filters": [4, 8],
    "model.dense": [8],
    "model.dropout": 0.2,
    "data.image_size": [16, 12],
    "data.fit": "pad",
    "training.epochs": 3,
    "training.optimizer": "adamw",
    "training.schedule": "cosine",
    "training.label_smoothing": 0.1,
    "training.clip_norm": 1.0,
    "training.class_weights": "balanced",
    "augmentation.flip": "both",
    "augmentation.shift": 0.1,
    "augmentation.rotate": 10.0,
    "augmentation.zoom": 0.1,
    "augmentation.brightness": 0.1,
    "augmentation.contrast": 0.1,
    "augmentation.cutout": 0.2,
}


@pytest.mark.full
@pytest.mark.parametrize(
    ("classes", "more", "packed"),
    [
        pytest.param(("cat", "dog"), {}, False, marks=pytest.mark.long),
        (("cat", "dog"), {"augmentation.mixup": 0.3}, True),
        pytest.param(("cat", "dog", "owl"), {"augmentation.mixup": 0.3}, False, marks=pytest.mark.long),
        (
            ("cat", "dog", "owl"),
            {"training.early_stopping": 1, "augmentation.rotate": 0.0, "augmentation.zoom": 0.0},
            False,
        ),
        pytest.param(
            ("cat", "dog", "owl"),
            {"training.ema": 0.9, "training.precision": "bfloat16"},
            False,
            marks=pytest.mark.long,
        ),
    ],
)
def test_every_key_is_in_the_program(
    cli: Cli, tmp_path: Path, classes: tuple[str, ...], more: dict[str, Any], packed: bool
) -> None:
    source = tmp_path / "pictures"
    for label, name in enumerate(classes):
        (source / name).mkdir(parents=True)
        for i in range(40 + 10 * label):
            Image.fromarray(picture(i, label)).save(source / name / f"{i}.png")
    if packed:
        import shutil

        source = Path(shutil.make_archive(str(tmp_path / "all"), "zip", source))
    keys = [
        f"{k}={json.dumps(v) if not isinstance(v, str) else v}" for k, v in {**EVERYTHING, **more}.items()
    ]
    fitted = cli("fit", source, *keys, "--out", "run")
    assert fitted.code == 0, fitted.err
    # What was trained in bfloat16 is exported from float32.
    done = cli("export", "run", "--format", "onnx,script" if "training.precision" in more else "script")
    assert done.code == 0, done.err
    printed = alone(tmp_path / "run" / "exports" / "script" / "train.py")
    last = conviction.load_run(tmp_path / "run").epoch_rows[-1]
    if "training.ema" in more or "training.precision" in more:
        # Averages are put in place at other moments, and what is tested is float32 again: not the same bits.
        assert "test accuracy" in printed
    else:
        assert f"val_loss: {last.val_loss:.4f}" in printed
        assert said_accuracy(tmp_path / "run") in printed


@pytest.mark.full
@pytest.mark.parametrize("kind", ["npz", "tar"])
def test_arrays_and_tars_are_read_again(cli: Cli, tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = np.stack([picture(i, label) for i, label in enumerate(labels)])
    if kind == "npz":
        source = tmp_path / "all.npz"
        order = rng.permutation(90)
        np.savez(source, x=images[order] / 255.0, y=labels[order])
    else:
        import shutil

        for i, label in enumerate(labels):
            (tmp_path / "p" / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[i]).save(tmp_path / "p" / str(label) / f"{i}.png")
        source = Path(shutil.make_archive(str(tmp_path / "all"), "gztar", tmp_path / "p"))
    small = [
        "recipe=lab",
        "training.epochs=1",
        "model.filters=[4,4]",
        "model.dense=[8]",
        "data.image_size=16",
    ]
    assert cli("fit", source, *small, "--out", "run").code == 0
    done = cli("export", "run", "--format", "script")
    assert done.code == 0, done.err
    assert said_accuracy(tmp_path / "run") in alone(tmp_path / "run" / "exports" / "script" / "train.py")


@pytest.mark.full
def test_the_notebook_runs_and_teaches(cli: Cli, tmp_path: Path) -> None:
    import nbformat

    fitted = cli("fit", "digits", "recipe=lab", "training.epochs=1", "--out", "run")
    assert fitted.code == 0, fitted.err
    run = conviction.load_run(tmp_path / "run")
    done = cli("export", "run", "--format", "notebook")
    assert done.code == 0, done.err
    path = tmp_path / "run" / "exports" / "notebook" / "lab.ipynb"
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    code = [c for c in book.cells if c.cell_type == "code"]
    prose = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    assert all(c.execution_count for c in code)
    assert said_accuracy(run.path) in "".join(o.get("text", "") for c in code for o in c.outputs)
    assert any("image/png" in o.get("data", {}) for c in code for o in c.outputs)
    for chapter in ("Data", "Architecture", "Compiling", "Training", "Evaluating"):
        assert f"### {chapter} in a minute" in prose
    assert "glossary:" not in prose
    assert f"{run.evaluation.accuracy:.1%}" in prose
    # Its cells alone, in a clean environment.
    program = path.with_name("cells.py")
    program.write_text("\n\n".join(c.source for c in code))
    assert said_accuracy(run.path) in alone(program, "scikit-learn")
    # Executing it has looked at the test set once more, and that is on record.
    ledger = (tmp_path / "home" / "openings.jsonl").read_text().splitlines()
    assert [json.loads(line)["command"] for line in ledger] == ["fit", "export notebook"]


def test_a_sealed_test_set_stays_sealed(cli: Cli, tmp_path: Path) -> None:
    keys = ["training.epochs=1", "model.filters=[4]", "evaluation.test=false"]
    assert cli("fit", "digits", *keys, "--out", "run").code == 0
    done = cli("export", "run", "--format", "script")
    assert done.code == 2
    assert "sealed" in done.err
    made = cli("export", "run", "--format", "onnx", "--json")
    assert made.code == 0, made.err
    assert made.json["exports"][0]["parity"]["part"] == "validation"
    assert conviction.load(tmp_path / "run" / "exports" / "model.onnx").card.test is None
    assert not (tmp_path / "home" / "openings.jsonl").exists()


def test_a_program_is_readable(exported: Exports) -> None:
    text = (exported("script") / "train.py").read_text()
    ast.parse(text)
    assert text.count("\n") < 150
    assert [line for line in text.splitlines() if line.startswith("# 1.")]
