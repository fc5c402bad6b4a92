"""What is no model file, cards that lie, weights that are no numbers: refused in one line in every format."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.artefacts.formats import FORMATS
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
    if form in ("keras", "saved_model") and what in ("other pixels", "more classes than outputs"):
        pytest.skip("asked in the process with limits, below")
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
