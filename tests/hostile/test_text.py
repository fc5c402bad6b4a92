"""YAML and JSON that somebody has made to stop a program, to fill its memory or to be read as something else."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conviction.config import load_recipe
from conviction.config.text import (
    MOST_KEY,
    MOST_NESTED,
    MOST_NODES,
    MOST_SHOWN,
    MOST_YAML,
    read_bounded,
    read_json,
    read_json_file,
    read_yaml,
    read_yaml_file,
    shortened,
    shown,
)
from conviction.errors import RequestError
from conviction.experiments.space import read_space
from conviction.web.classroom import load_course
from tests.hostile.test_folders import BOMB

# What PyYAML adds to a message: the lines at the marks.
MOST_MESSAGE = 2 * MOST_SHOWN + 400


def alias_in_keys() -> str:
    return "".join(
        f"k{i}: &k{i} {{a: *k{i - 1}, b: *k{i - 1}}}\n" if i else "k0: &k0 {a: 1}\n" for i in range(30)
    )


HOSTILE = {
    "aliases that unfold": BOMB,
    "aliases in mappings": alias_in_keys(),
    "long text by aliases": f"a: &a {'x' * 5000}\nb: [{','.join(['*a'] * 100)}]",
    "merges": "a: &a {x: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [*a, *a], y{i}: *a}}\n" for i in range(9000)),
    "a part that contains itself": "&a [*a]",
    "a mapping that contains itself": "&a {b: *a}",
    "brackets": "x: " + "[" * 100_000,
    "braces": "x: " + "{a: " * 5000,
    "dashes": "- " * 50_000,
    "question marks": "? " * 50_000,
    "depth by lines": "".join(f"{' ' * i}a:\n" for i in range(400)),
    "many values": "[" + "1," * 90_000 + "]",
    "many lines": "- 1\n" * (MOST_NODES + 1),
    "long text": "x" * (MOST_YAML + 1),
    "long key": "? " + "k" * (MOST_KEY + 1) + "\n: 1",
    "list as a key": "{[1]: 2}",
    "mapping as a key": "? {a: 1}\n: 2",
    "key twice": "a: 1\na: 2",
    "key twice, in quotes": "a: 1\n'a': 2",
    "key twice, deep": "a: {b: [{c: 1, c: 2}]}",
    "long number": f"a: {'9' * 5000}",
    "long number in base 16": f"a: 0x{'f' * 5000}",
    "long number in base 2": f"a: 0b{'1' * 100}",
    "number above 64 bits": f"a: {2**63}",
    "number below 64 bits": f"a: {-(2**63)}",
    "base 60 by a tag": "a: !!int '1:30'",
    "base 60 with a fraction by a tag": "a: !!float '1:30.5'",
    "call": "!!python/object/apply:os.system ['true']",
    "object": "!!python/object:os.path {}",
    "binary": "!!binary aGVsbG8=",
    "set": "!!set {a, b}",
    "pairs": "!!pairs [a: 1]",
    "long tag": "!" + "t" * 5000 + " a",
    "long alias": "*" + "a" * 5000,
    "long anchor twice": f"[&{'a' * 5000} 1, &{'a' * 5000} 2]",
    "long directive": "%" + "x" * 50_000,
    "two documents": "---\na\n---\nb",
    "zero": "a: \x00",
    "open quote": '"' + "[" * 50_000,
    "tab": "a:\t- b",
    "flow that does not end": "{" + "a, " * 5000,
    "colons": "a: b: c",
    "exclamation marks": "! " * 50_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_yaml_is_refused_in_a_line(what: str) -> None:
    with pytest.raises(yaml.YAMLError) as refused:
        read_yaml(HOSTILE[what])
    assert len(" ".join(str(refused.value).split())) < MOST_MESSAGE


@pytest.mark.full
@pytest.mark.parametrize(
    "what", ["aliases that unfold", "aliases in mappings", "many values", "long text by aliases"]
)
def test_hostile_yaml_takes_little_memory(what: str) -> None:
    tracemalloc.start()
    with pytest.raises(yaml.YAMLError):
        read_yaml(HOSTILE[what])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200e6


READ = {
    "a: 1:30": {"a": "1:30"},
    "a: 190:20:30.15": {"a": "190:20:30.15"},
    "a: 2024-02-30": {"a": "2024-02-30"},
    "a: 2001-12-14t21:59:43.10-05:00": {"a": "2001-12-14t21:59:43.10-05:00"},
    "a: =": {"a": "="},
    "[0x1F, 0b11, 017, -5, 1_000, 0, +3]": [31, 3, 15, -5, 1000, 0, 3],
    f"[{2**63 - 1}, -{2**63 - 1}]": [2**63 - 1, -(2**63) + 1],
    "[1.5, .5, 1., 1.0e-3, .inf, -.inf]": [1.5, 0.5, 1.0, 0.001, float("inf"), float("-inf")],
    "[yes, no, on, off, true, ~, null]": [True, False, True, False, True, None, None],
    "a: &a {x: 1}\nb: *a": {"a": {"x": 1}, "b": {"x": 1}},
    "a: &a {x: 1}\nb: {<<: *a, x: 2, y: 3}": {"a": {"x": 1}, "b": {"x": 2, "y": 3}},
    "": None,
    "[" * MOST_NESTED + "]" * MOST_NESTED: None,
}


@pytest.mark.parametrize("text", READ)
def test_what_people_write_is_read(text: str) -> None:
    value = read_yaml(text)
    if text.startswith("[["):
        for _ in range(MOST_NESTED - 1):
            (value,) = value
        assert value == []
    else:
        assert value == READ[text]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=50), inner),
        max_leaves=20,
    )
)
def test_what_we_write_is_read_back(value: Any) -> None:
    assert read_yaml(yaml.safe_dump(value)) == value


@given(st.text(max_size=300) | st.text(alphabet="[]{}&*!|>'\"%@`:,?-\n\t a1.~<=", max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    message = ""
    try:
        read_yaml(text)
    except yaml.YAMLError as failure:
        message = " ".join(str(failure).split())
    assert len(message) < MOST_MESSAGE


BAD_JSON = {
    "nothing": "",
    "cut": '{"a": ',
    "not a number": '{"a": NaN}',
    "infinity": "[Infinity]",
    "below infinity": "[-Infinity]",
    "too large for a number": "[1e999]",
    "long number": "9" * 5000,
    "number above 64 bits": str(2**63),
    "number below 64 bits": str(-(2**63)),
    "brackets that stay open": "[" * 100_000,
    "brackets": "[" * 100_000 + "]" * 100_000,
    "a level too deep": "[" * (MOST_NESTED + 2) + "]" * (MOST_NESTED + 2),
    "mappings too deep": '{"a":' * 300 + "1" + "}" * 300,
    "both": '[{"a":' * 200 + "1" + "}]" * 200,
    "no text": b"\xff\xfe\x00",
    "half a letter": b'"\xc3"',
    "two values": "1 2",
}


@pytest.mark.parametrize("what", BAD_JSON)
def test_hostile_json_is_refused(what: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  whatever it says, it is one error
        read_json(BAD_JSON[what])
    assert len(str(refused.value)) < MOST_MESSAGE


def test_json_is_read_as_deep_as_it_may_be() -> None:
    assert read_json("[" * MOST_NESTED + "]" * MOST_NESTED)
    assert read_json('{"a": [1, -2.5e-3, true, null, "x"]}') == {"a": [1, -0.0025, True, None, "x"]}


def test_no_more_is_read_than_the_bound(tmp_path: Path) -> None:
    """A file says that it has 2 TB, and takes no room."""
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 2 * 10**12)
    for read in (read_yaml_file, read_json_file, lambda path: read_bounded(path, 10)):
        with pytest.raises((ValueError, yaml.YAMLError), match="larger than"):
            read(large)
    (tmp_path / "small").write_text("0123456789")
    assert read_bounded(tmp_path / "small", 10) == b"0123456789"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = {"pipe": tmp_path / "pipe", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            read_bounded(path, 10)
        except OSError as failure:
            failures.append(failure)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert len(failures) == 1


COURSE = "title: x\nclass_token: abcdefghij\n"
READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "recipe": (lambda path: load_recipe([], path), "training: {epochs: 3}\n"),
    "course": (load_course, COURSE),
    "space": (read_space, "model.kernel_size: {choices: [3, 5]}\n"),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "what",
    [
        *(
            "aliases that unfold",
            "brackets",
            "dashes",
            "long text",
            "long key",
            "key twice",
            "long number",
            "call",
        ),
        *("binary", "two documents", "zero", "a part that contains itself", "many values"),
    ],
)
def test_every_file_of_yaml_has_the_same_bounds(tmp_path: Path, kind: str, what: str) -> None:
    read, begins = READERS[kind]
    file = tmp_path / "file.yaml"
    file.write_text(begins)
    assert read(file)
    file.write_text(HOSTILE[what] if what.startswith("a part") else f"{begins}{HOSTILE[what]}")
    with pytest.raises(RequestError) as refused:
        read(file)
    assert "file.yaml" in str(refused.value)
    assert len(str(refused.value)) < MOST_MESSAGE + len(str(file))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("recipe", f"{'k' * 150}: 1"),
        ("recipe", f"training: {{{'k' * 150}: 1}}"),
        ("recipe", f"training: {{epochs: {'x' * 50_000}}}"),
        ("recipe", f"recipe: {'x' * 50_000}"),
        ("recipe", f"model: {{layers: [{{type: {'x' * 50_000}}}]}}"),
        ("recipe", f"model: {{layers: {'x' * 50_000}}}"),
        ("recipe", "training: {learning_rate: .nan}"),
        ("recipe", "training: {learning_rate: .inf}"),
        ("recipe", "training: {epochs: 1:30}"),
        ("recipe", "'x" + "y" * 50_000 + "'"),
        ("course", COURSE + f"{'k' * 150}: 1"),
        ("course", COURSE + f"chapters: [{'x' * 150}]"),
        ("course", COURSE + "limits: {minutes: .inf}"),
        ("course", COURSE + f"limits: {{epochs: {'x' * 50_000}}}"),
        ("space", f"{'k' * 150}: {{choices: [1]}}"),
        ("space", f"model.kernel_size: {'x' * 50_000}"),
        ("space", "model.dropout: {low: 0.1, high: .inf}"),
        ("space", "model.dropout: {low: .nan, high: 1}"),
        ("space", "model.dropout: {choices: [.nan]}"),
        ("space", "model.dropout: {choices: [[[.inf]]]}"),
        ("space", f"model.dropout: {{choices: [1], when: {'x' * 50_000}}}"),
    ],
)
def test_an_error_quotes_at_most_a_line(tmp_path: Path, kind: str, text: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with pytest.raises(RequestError) as refused:
        READERS[kind][0](file)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "pair",
    [
        "k" * 50_000 + "=1",
        "k" * 50_000,
        "training.epochs=" + "x" * 50_000,
        "training.epochs=[" + "x" * 50_000,
    ],
)
def test_a_long_override_is_not_quoted_whole(pair: str) -> None:
    with pytest.raises(RequestError) as refused:
        load_recipe([pair])
    assert len(str(refused.value)) < 1000


def test_any_value_can_be_shown() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (10**5000, "x" * 10**6, [[[[[1]]]]] * 1000, {"a" * 1000: "b" * 1000}, endless, float("nan")):
        assert 0 < len(shown(value)) <= MOST_SHOWN + 3
    assert shortened("a\nb  c") == "a b c"
