"""A run as a plain Keras program and as an executed notebook, which show learners that there is no magic."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from conviction.audience import without_home
from conviction.data import ImageSet
from conviction.data.image_set import PARTS
from conviction.data.named import KerasSet, ScikitLearnDigits
from conviction.errors import RequestError
from conviction.evaluation import record_opening
from conviction.programs.backbone_code import WEIGHTS, write_weights
from conviction.programs.notebook import write_notebook
from conviction.programs.reading_code import data_path, needs, reading_section
from conviction.programs.section import Section
from conviction.programs.testing_code import testing_section
from conviction.programs.training_code import (
    compile_section,
    encoding_section,
    network_sections,
    training_section,
)
from conviction.runs import RunFolder
from conviction.runs.rows import rows_of_part
from conviction.training.train import steps_per_epoch
from conviction.training.views import views_kept

PROGRAMS = ("script", "notebook")
SPLIT, SCRIPT, NOTEBOOK = "split.json", "train.py", "lab.ipynb"


def write_program(name: str, run: RunFolder, images: ImageSet, work: Path) -> Path:
    """Writes a folder with a program that trains and tests the run's network without this package.

    Args:
        name: "script" or "notebook"; the notebook is executed here, which takes as long as the training and opens the
            test set again.
        run: A finished run.
        images: Its data.
        work: Where the folder is made.

    Returns:
        The folder, with ``split.json`` beside the program, and the weights of a backbone.

    Raises:
        WeightsError: The weights of a backbone were not found, or are not the published ones.
        RequestError: The test set is sealed, so the program would open it; or a package that is an extra is missing.
        ParityError: The notebook did not run, or reached another accuracy.
    """
    if run.evaluation.test is None:
        raise RequestError(
            f"{run.path}: its test set is sealed, and the program would open it. Evaluate the run first."
        )
    folder = work / name
    folder.mkdir()
    _write_split(folder / SPLIT, run, images)
    backbone = run.config.model.backbone
    if backbone is not None:
        write_weights(folder / WEIGHTS, backbone, run.rule.shape)
    sections = program_sections(run, images)
    if name == "script":
        (folder / SCRIPT).write_text(script(run, images, sections), encoding="utf-8")
    else:
        # It runs here, down to its last cell.
        record_opening(run.split.test_hash, run.path, "export notebook")
        write_notebook(folder / NOTEBOOK, run, [_beginning(run, images, sections), *sections])
    return folder


def program_sections(run: RunFolder, images: ImageSet) -> list[Section]:
    """The steps of the lab, as this run took them."""
    recipe, classes = run.config, len(run.class_names)
    train_images = len(run.split.train)
    steps = recipe.training.epochs * steps_per_epoch(recipe.training, train_images)
    return [
        reading_section(run, images),
        encoding_section(classes),
        *network_sections(recipe, run.rule.shape, classes, train_images),
        compile_section(recipe, classes, steps),
        training_section(recipe, classes),
        testing_section(recipe, classes),
    ]


def script(run: RunFolder, images: ImageSet, sections: Sequence[Section]) -> str:
    """The program as a file."""
    test = run.evaluation.test
    assert test is not None  # ``write_program`` refuses a sealed one
    low, high = test.accuracy_ci95
    digits = isinstance(images.origin, ScikitLearnDigits)
    beside = f"split.json and {WEIGHTS}" if run.config.model.backbone else "split.json"
    needed = f"Keras, TensorFlow{', scikit-learn' if digits else ''} and Pillow"
    name = _in_docstring(run.path.resolve().name)
    head = "\n".join(
        [
            f'"""The network of the run {name}, trained and tested again in plain Keras.',
            "",
            "    python train.py [WHERE THE IMAGES ARE]",
            "",
            f"Needs {needed}, and beside it {beside}.",
            f"The run got {test.accuracy:.4f} of {test.n:,} test images right,",
            f"95% interval {low:.4f} to {high:.4f}. If the run computed in float32 on TensorFlow, this program",
            "reproduces it bit for bit, on the same kind of processor, with the same versions; otherwise it differs by",
            "no more than with another seed.",
            '"""',
        ]
    )
    here = "os.path.dirname(os.path.abspath(__file__))"
    parts = [head, _beginning(run, images, sections, here).code]
    for number, section in enumerate(sections, 1):
        comment = textwrap.wrap(f"{number}. {section.title}. {section.reason}", 116)
        parts.append("\n".join(f"# {line}" for line in comment) + f"\n\n{section.code}")
    return "\n\n".join(parts) + "\n"


def _beginning(
    run: RunFolder, images: ImageSet, sections: Sequence[Section], here: str = 'os.path.abspath("")'
) -> Section:
    threads = run.config.training.threads or 1
    imports = ["import json", "import os", "import sys", *needs(run, images)]
    if views_kept(run.config) > 1:
        imports.append("import hashlib")
    imports.sort(key=_plain_imports_first)
    standard = [i for i in imports if i.split()[1] in _STANDARD]
    others = [i for i in imports if i not in standard]
    annotated = any(" -> " in section.code for section in sections)
    lines = ["from __future__ import annotations\n"] if annotated else []
    lines += [*standard, ""]
    lines += [
        'os.environ["KERAS_BACKEND"] = "tensorflow"',
        'os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"',
        "import keras",
        "import numpy as np",
        "import tensorflow as tf",
        *others,
        "",
        f"HERE = {here}",
    ]
    if not isinstance(images.origin, ScikitLearnDigits | KerasSet):
        shared = without_home(data_path(images).resolve())
        default_data = json.dumps(shared)
        if shared.startswith("~"):
            default_data = f"os.path.expanduser({default_data})"
        lines.append(
            f"DATA = sys.argv[1] if len(sys.argv) > 1 else {default_data}"
            if "__file__" in here
            else f"DATA = {default_data}"
        )
    lines += [
        "# The same sums in the same order every time: one number of threads, deterministic kernels.",
        f"tf.config.threading.set_intra_op_parallelism_threads({threads})",
        f"tf.config.threading.set_inter_op_parallelism_threads({threads})",
        "tf.config.experimental.enable_op_determinism()",
    ]
    reason = "The backend is TensorFlow; its kernels are set to give the same bits every time."
    return Section("Begin", reason, "\n".join(lines), "overview")


_STANDARD = ("hashlib", "json", "os", "sys", "gzip", "io", "zipfile", "tarfile")


def _in_docstring(name: str) -> str:
    """The name of a folder without what could end a docstring and begin code."""
    return re.sub(r"[^\w .,+-]", "_", name)


def _plain_imports_first(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _write_split(path: Path, run: RunFolder, images: ImageSet) -> None:
    """Class and part of every image, in the run's own order."""
    content: dict[str, object] = {"classes": run.class_names}
    for part in PARTS:
        rows = rows_of_part(run, images, part)
        content[part] = {images.names[i]: int(images.labels[i]) for i in rows}
    # In ASCII, because names of files need not be valid Unicode.
    path.write_text(json.dumps(content), encoding="utf-8")
