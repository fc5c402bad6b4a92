"""The list of keys: complete, and true of what the specification takes."""

from __future__ import annotations

import re

import pytest

from conviction.config import load_recipe
from conviction.config.key_table import WHAT, Key, all_keys
from conviction.config.recipe import keys
from conviction.errors import RequestError
from tests.conftest import Cli

BY_NAME = {key.name: key for key in all_keys()}


def test_every_key_is_listed_once() -> None:
    assert sorted(BY_NAME) == sorted(keys()) == sorted(WHAT)
    assert len(all_keys()) == len(BY_NAME)


@pytest.mark.parametrize("key", BY_NAME.values(), ids=list(BY_NAME))
def test_defaults_are_those_of_the_lab(key: Key) -> None:
    assert key.what[0].islower() or key.what[0] == "["
    if key.default and key.name not in ("recipe", "data.on_leak", "training.precision"):
        assert load_recipe(["recipe=lab", f"{key.name}={key.default}"]) == load_recipe(["recipe=lab"])


@pytest.mark.parametrize(
    "key", [k for k in BY_NAME.values() if k.values.startswith("one of ")], ids=lambda k: k.name
)
def test_each_value_that_is_named_is_taken_and_no_other(key: Key) -> None:
    for value in key.values.removeprefix("one of ").split(", "):
        load_recipe([f"{key.name}={value}"])
    with pytest.raises(RequestError):
        load_recipe([f"{key.name}=surely-not"])


BOUNDED = [
    (name, bound)
    for name, key in BY_NAME.items()
    if key.values.startswith(("number", "whole number "))
    for bound in re.findall(r"(from|above|to|below) ([0-9.,]+)", key.values)
    if name not in ("data.fold", "data.folds")  # which depend on one another
]


@pytest.mark.parametrize(("name", "bound"), BOUNDED)
def test_bounds_are_those_of_the_specification(name: str, bound: tuple[str, str]) -> None:
    side, value = bound[0], float(bound[1].replace(",", ""))
    whole = BY_NAME[name].values.startswith("whole")
    step = 1 if whole else 1e-3
    low = side in ("from", "above")
    inside, outside = (value + step, value - step) if low else (value - step, value + step)
    load_recipe({name: int(inside) if whole else inside})
    if side in ("from", "to"):
        load_recipe({name: int(value) if whole else value})
    for wrong in [outside] if side in ("from", "to") else [outside, value]:
        with pytest.raises(RequestError):
            load_recipe({name: int(wrong) if whole else wrong})


def test_the_command_lists_some_or_all(cli: Cli) -> None:
    done = cli("keys", "rate")
    assert done.code == 0
    assert "training.learning_rate" in done.out
    assert "auto, or a number above 0" in " ".join(done.out.split())
    assert len(cli("keys", "--json").json["keys"]) == len(BY_NAME)
    refused = cli("keys", "epoch_count")
    assert (refused.code, "no key has 'epoch_count'" in refused.err) == (2, True)
