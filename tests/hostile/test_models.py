"""What is no model file, cards that lie, weights that are no numbers: refused in one line in every format."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conviction
from conviction.artefacts import limits
from conviction.artefacts.formats import FORMATS
from conviction.errors import RunError
from tests.conftest import Cli
from tests.hostile import models as made
from tests.hostile.conftest import SMALL, Ours

NAMES = tuple(FORMATS)

pytestmark = pytest.mark.full


def whole_file(path: Path) -> Path:
    """The file of an export, of a SavedModel its graph."""
    return path / "saved_model.pb" if path.is_dir() else path


def as_pipe(file: Path) -> None:
    os.mkfifo(file)


def as_socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(file.name)
    finally:
        os.chdir(here)


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(3_000_000_000)


IN_PLACE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (as_pipe, "this is a pipe"),
    "a socket": (as_socket, "cannot be read"),
    "a folder": (Path.mkdir, "this is a folder|files that an export has not"),
    "a device without end": (lambda file: file.symlink_to("/dev/zero"), "this is a device"),
    "a device without anything": (lambda file: file.symlink_to("/dev/null"), "this is a device"),
    "a link to itself": (lambda file: file.symlink_to(file.name), "cannot be read"),
    "a link to nothing": (lambda file: file.symlink_to("nothing"), "no such file|model card"),
    "a sparse file of 3 GB": (sparse, "at most"),
    "an empty file": (Path.touch, "damaged|card"),
    "another file": (
        lambda file: file.write_bytes(b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94."),
        "",
    ),
    "zeros": (lambda file: file.write_bytes(bytes(100_000)), ""),
}


@pytest.mark.parametrize("what", IN_PLACE)
@pytest.mark.parametrize("form", NAMES)
def test_what_is_no_model_file_is_not_read(ours: Ours, beside_others: Path, form: str, what: str) -> None:
    put, words = IN_PLACE[what]
    path = beside_others / ours(form).name
    if form == "saved_model":
        shutil.copytree(ours(form), path)
        whole_file(path).unlink()
    put(whole_file(path) if form == "saved_model" else path)
    message = made.refusal(path, form)
    assert not words or any(word in message for word in words.split("|")), message


def card_with(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def text(form: str) -> str:
        card = made.card_for(form).model_dump(mode="json")
        change(card)
        return json.dumps(card)

    return text


CARDS: dict[str, tuple[Callable[[str], str], str]] = {
    "a million by a million pixels": (
        card_with(lambda card: card["decoding"].update(height=1_000_000, width=1_000_000)),
        "at most 16,777,216 pixels",
    ),
    "a picture of one row without end": (
        card_with(lambda card: card["decoding"].update(height=1, width=10**18)),
        "at most 16,777,216 pixels",
    ),
    "no pixels": (card_with(lambda card: card["decoding"].update(height=0)), "card"),
    "a negative side": (card_with(lambda card: card["decoding"].update(width=-3)), "card"),
    "other pixels": (card_with(lambda card: card["decoding"].update(height=15)), "does not take the pixels"),
    "more classes than outputs": (
        card_with(lambda card: card.update(class_names=["a", "b", "c"])),
        "its card names 3 classes",
    ),
    "a hundred thousand classes": (
        card_with(lambda card: card.update(class_names=[str(i) for i in range(100_000)])),
        "card",
    ),
    "one class": (card_with(lambda card: card.update(class_names=["a"])), "card"),
    "an unknown key": (card_with(lambda card: card.update({"\x1b[2Jclear": 1})), "card"),
    "five megabytes": (card_with(lambda card: card.update(specification={"a": "b" * 5_000_000})), "card"),
    "no JSON": (lambda form: '"', "card"),
    "a list": (lambda form: "[]", "card"),
}


@pytest.mark.parametrize("what", CARDS)
@pytest.mark.parametrize("form", NAMES)
def test_a_card_that_lies_is_refused(ours: Ours, beside_others: Path, form: str, what: str) -> None:
    text, words = CARDS[what]
    path = made.with_card(form, ours(form), beside_others / ours(form).name, text(form))
    assert words in made.refusal(path, form)


# An infinity becomes the largest number when it is converted to LiteRT.
@pytest.mark.parametrize(
    ("form", "value"),
    [(form, v) for form in NAMES for v in (np.nan, np.inf) if (form, v) != ("litert", np.inf)],
)
def test_weights_that_are_not_numbers_are_refused(tmp_path: Path, form: str, value: float) -> None:
    def spoil(model: Any) -> None:
        weights = model.get_weights()
        weights[0][0, 0, 0, 0] = value
        model.set_weights(weights)

    path = made.export(form, tmp_path, SMALL, change=spoil)
    assert "not finite" in made.refusal(path, form)


REFUSED: dict[str, Callable[[Ours, Path], Path]] = {
    "onnx": lambda ours, folder: made.onnx_with(
        ours("onnx"), folder / "model.onnx", lambda model: model.graph.node.add(op_type="Loop", name="harm")
    ),
    "litert": lambda ours, folder: made.litert_with(
        ours("litert"),
        folder / "model.tflite",
        lambda model: setattr(model.operatorCodes[0], "customCode", "Evil"),
    ),
    "keras": lambda ours, folder: made.with_config(
        ours("keras").read_bytes(),
        folder / "model.keras",
        lambda config: made.layer_of(config, "Dense").update(class_name="Lambda"),
    ),
    "saved_model": lambda ours, folder: made.saved_with(
        ours("saved_model"),
        folder / "saved_model",
        lambda saved: made.serving_function(saved).node_def.add(name="harm", op="WriteFile"),
    ),
    "a pipe": lambda ours, folder: os.mkfifo(folder / "model.onnx") or folder / "model.onnx",
    "too much memory": lambda ours, folder: made.onnx_with(ours("onnx"), folder / "model.onnx", wide_borders),
}


def wide_borders(model: Any) -> None:
    """A convolution whose result takes 67 GB, of operators and sizes that are allowed."""
    convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    for attribute in list(convolution.attribute):
        if attribute.name in ("pads", "auto_pad"):
            convolution.attribute.remove(attribute)
    convolution.attribute.add(name="pads", type=7, ints=[65_000, 32_000, 0, 0])


@pytest.mark.parametrize("what", REFUSED)
def test_the_command_says_it_in_one_line(ours: Ours, cli: Cli, tmp_path: Path, what: str) -> None:
    from PIL import Image

    Image.new("L", (16, 16)).save(tmp_path / "picture.png")
    path = REFUSED[what](ours, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = cli("predict", path, "picture.png")
    assert done.code == 2
    assert not done.out
    assert done.err.startswith("conviction: ")
    assert done.err.count("\n") == 1
    assert path.name in done.err
    assert sorted(p for p in tmp_path.rglob("*") if "home" not in p.parts) == before


def test_the_server_starts_with_no_such_file(ours: Ours, cli: Cli, tmp_path: Path) -> None:
    done = cli("serve", REFUSED["onnx"](ours, tmp_path), "--port", "0")
    assert done.code == 2
    assert "Loop" in done.err
    assert done.err.count("\n") == 1


def test_what_a_run_holds_is_looked_through_too(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    content = (run / "model.keras").read_bytes()
    for change, words in (
        (lambda config: made.layer_of(config, "Dense").update(class_name="Lambda"), "Lambda"),
        (lambda config: made.layer_of(config, "Dense")["config"].update(units=60_000), "weights"),
        (
            lambda config: config["compile_config"]["optimizer"].update(module="os", class_name="system"),
            "compiled with",
        ),
    ):
        made.with_config(content, run / "model.keras", change)
        with pytest.raises(RunError, match=words):
            _ = conviction.load_run(run).model


@pytest.mark.skipif(sys.platform != "linux", reason="limits that the system keeps")
@pytest.mark.parametrize("form", NAMES)
def test_looking_through_a_file_takes_a_multiple_of_its_size(ours: Ours, tmp_path: Path, form: str) -> None:
    """Of 30 MB of the smallest parts that a format has; what is refused by its size is read by its beginning."""
    bombs: dict[str, Callable[[], Path]] = {
        "onnx": lambda: written(
            tmp_path / "model.onnx", b"\x3a" + varint(30_000_000) + b"\x0a\x00" * 15_000_000
        ),
        "litert": lambda: made.litert_file(bytes(30_000_000), tmp_path / "model.tflite", {}),
        "keras": lambda: made.keras_file(
            ours("keras").read_bytes(),
            tmp_path / "model.keras",
            lambda members: members.update({"model.weights.h5": bytes(30_000_000)}),
        ),
        "saved_model": lambda: bloated(ours("saved_model"), tmp_path / "saved_model"),
    }
    path = bombs[form]()
    code = (
        "import re, resource, sys\nfrom pathlib import Path\nfrom conviction.artefacts.apart import try_apart\n"
        "try: try_apart(sys.argv[1], Path(sys.argv[2]))\nexcept ValueError as e: print(e, file=sys.stderr)\n"
        # The peak of a process as getrusage has it is that of its parent, if that was larger.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, form, str(path)], capture_output=True, text=True, check=True
    )
    assert str(path) in done.stderr
    here, there = (1024 * int(number) for number in done.stdout.split())
    assert here < 300_000_000, "nothing of the file is read here before it was tried there"
    assert there < limits.most_bytes(path)
    print(f"{form}: {here:,} bytes here, {there:,} there")


def varint(number: int) -> bytes:
    rest = b""
    while number > 127:
        rest, number = rest + bytes([number & 127 | 128]), number >> 7
    return rest + bytes([number])


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def bloated(whole: Path, path: Path) -> Path:
    shutil.copytree(whole, path)
    (path / "saved_model.pb").write_bytes(b"\x12\x00" * 15_000_000)
    return made.hashed(path)
