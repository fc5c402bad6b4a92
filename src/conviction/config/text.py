"""YAML and JSON text to plain values, for every file and field that a user or a stranger has written.

What is read may come from an enemy, so its size, depth and numbers are bounded before anything is made of it.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import reprlib
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode

from conviction.version import SCHEMA, __version__

# A course of a thousand learners has 50,000 characters, a specification of 200 layers 30,000; aliases count as what
# they stand for. PyYAML reads so many in seconds.
MOST_YAML, MOST_NODES = 200_000, 20_000
# No valid input nests this deeply.
MOST_NESTED = 100
MOST_KEY = 200
# A whole number that a file or a column of a table can hold; Python takes minutes to print a very long one.
MOST_INTEGER = 2**63 - 1
# The evaluation of a thousand classes has 30 MB.
MOST_JSON = 64 * 2**20
# What an error quotes of a value.
MOST_SHOWN = 160


def open_regular(path: Path) -> IO[bytes]:
    """Opens a file to read; a link is followed, and nothing is waited for.

    Raises:
        OSError: As ``open`` does; also for a pipe, a device or a socket, which could be read for ever.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file


def _without_waiting(name: str, flags: int) -> int:
    # Without it, opening a pipe waits for somebody who writes.
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a file of at most ``most`` bytes.

    Raises:
        OSError: As for ``open_regular``.
        ValueError: It is larger; no more than that has been read.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content


def why_unread(failure: OSError | UnicodeDecodeError) -> str:
    """Why a text file could not be read, as a clause."""
    if isinstance(failure, UnicodeDecodeError):
        return "it is not a text file"
    return failure.strerror or str(failure)


def newer_schema(content: Mapping[Any, Any]) -> str:
    """Why a file cannot be read that a later version has written, in a sentence; empty if it can.

    >>> newer_schema({"schema": 1})
    ''
    """
    number = content.get("schema")
    if type(number) is not int or number <= SCHEMA:
        return ""
    number = shortened(str(number))
    return f"it has schema {number}, and conviction {__version__} reads up to {SCHEMA}. Update conviction."


def read_yaml_file(path: Path) -> Any:
    """The values of a YAML file.

    Raises:
        OSError: As for ``open_regular``.
        UnicodeDecodeError: It is not text.
        yaml.YAMLError: As for ``read_yaml``.
    """
    try:
        # A character has at most 4 bytes.
        content = read_bounded(path, 4 * MOST_YAML)
    except ValueError as failure:
        raise yaml.YAMLError(str(failure)) from None
    return read_yaml(content.decode("utf-8"))


def read_yaml(text: str) -> Any:
    """The values of a YAML document: texts, numbers, booleans, lists and mappings.

    Colons do not make a number of base 60, and a date is text.

    Raises:
        yaml.YAMLError: It is not one, whatever PyYAML raises for it; or it is larger, deeper or longer than the bounds
            above, repeats a key, or has a tag of its own.

    >>> read_yaml("{start: 1:30, epochs: 3}")
    {'start': '1:30', 'epochs': 3}
    """
    if len(text) > MOST_YAML:
        raise yaml.YAMLError(f"it has {len(text):,} characters, more than {MOST_YAML:,}")
    try:
        return yaml.load(text, _Loader)  # a subclass of SafeLoader
    except yaml.MarkedYAMLError as failure:
        for part in ("context", "problem"):
            setattr(failure, part, shortened(getattr(failure, part) or ""))
        raise
    except yaml.YAMLError as failure:
        raise yaml.YAMLError(shortened(str(failure))) from None
    except RecursionError:
        raise _too_deep() from None
    except Exception as failure:  # an impossible base64 text is a ValueError, and there are more such cases
        raise yaml.YAMLError(shortened(str(failure)) or type(failure).__name__) from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with bounds."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        # With every alias as what it stands for.
        self._nodes = self._characters = 0
        self._sizes: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        before = self._nodes, self._characters
        is_alias = self.check_event(AliasEvent)
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise _too_deep()
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias:
            if id(node) not in self._sizes:
                raise yaml.YAMLError("a part of it contains itself")
            nodes, characters = self._sizes[id(node)]
            self._nodes += nodes
            self._characters += characters
        else:
            self._nodes += 1
            self._characters += len(node.value) if isinstance(node, ScalarNode) else 0
            self._sizes[id(node)] = self._nodes - before[0], self._characters - before[1]
        if self._nodes > MOST_NODES or self._characters > MOST_YAML:
            raise yaml.YAMLError(
                f"with its aliases unfolded, it has more than {MOST_NODES:,} values or {MOST_YAML:,} characters"
            )
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node = super().compose_mapping_node(anchor)
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or len(key.value) > MOST_KEY:
                problem = f"a key is not a text of at most {MOST_KEY} characters"
                raise ConstructorError(None, None, problem, key.start_mark)
            if (key.tag, key.value) in keys:
                problem = f"the key {shown(key.value)} is given twice"
                raise ConstructorError(None, None, problem, key.start_mark)
            keys.add((key.tag, key.value))
        return node

    def construct_integer(self, node: ScalarNode) -> int:
        text = node.value.replace("_", "").lower()
        digits = text.lstrip("+-")
        try:
            if len(digits) > 70:  # as long as 64 bits in base 2
                raise ValueError
            base = 2 if digits.startswith("0b") else 16 if digits.startswith("0x") else 10
            # YAML 1.1 has 017 for 15.
            value = int(text, 8 if base == 10 and digits.startswith("0") else base)
        except ValueError:
            value = MOST_INTEGER + 1
        if abs(value) > MOST_INTEGER:
            problem = f"{shortened(node.value, 40)} is not a whole number of at most {MOST_INTEGER}"
            raise ConstructorError(None, None, problem, node.start_mark)
        return value

    def construct_real(self, node: ScalarNode) -> float:
        text = node.value.replace("_", "").lower()
        try:
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            problem = f"{shortened(node.value, 40)} is not a number"
            raise ConstructorError(None, None, problem, node.start_mark) from None


_PLAIN = "tag:yaml.org,2002:"
_INTEGER, _REAL = f"{_PLAIN}int", f"{_PLAIN}float"
# Dates, and a lone "=", which has a meaning of its own in YAML 1.1.
_TEXT = (f"{_PLAIN}timestamp", f"{_PLAIN}value")
# The other tags that PyYAML constructs have no place in our files.
_KEPT = ("null", "bool", "str", "seq", "map")
_Loader.yaml_constructors = {
    **{tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag is None},
    **{_PLAIN + name: yaml.SafeLoader.yaml_constructors[_PLAIN + name] for name in _KEPT},
    _INTEGER: _Loader.construct_integer,
    _REAL: _Loader.construct_real,
}
_NUMBERS = {
    _INTEGER: re.compile(r"[-+]?(?:0b[0-1_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)$"),
    _REAL: re.compile(
        r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
        r"|\.(?:nan|NaN|NAN))$"
    ),
}
# PyYAML's by first character, with our patterns for numbers and none for dates.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in pairs if tag not in _TEXT]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _too_deep() -> yaml.YAMLError:
    return yaml.YAMLError(f"it is nested more than {MOST_NESTED} deep")


def read_json_file(path: Path, most: int = MOST_JSON) -> Any:
    """The value of a JSON file of at most ``most`` bytes.

    Raises:
        OSError: As for ``open_regular``.
        ValueError: It is larger; or as for ``read_json``.
    """
    return read_json(read_bounded(path, most))


def read_json(text: str | bytes, *, finite: bool = True) -> Any:
    """The value of a JSON text.

    Args:
        text: In UTF-8.
        finite: Whether every number must be finite, as in all that JSON itself allows.

    Raises:
        ValueError: It is not one; it is nested deeper than ``MOST_NESTED``, or a number in it is not finite or is a
            whole number above ``MOST_INTEGER``: we write none of these.

    >>> read_json('{"epochs": 3}')
    {'epochs': 3}
    """
    try:
        how: dict[str, Any] = {"parse_float": _real, "parse_constant": _no_number} if finite else {}
        value = json.loads(text, parse_int=_integer, **how)
    except RecursionError:
        raise ValueError(f"it is nested more than {MOST_NESTED} deep") from None
    level = [value]
    for _ in range(MOST_NESTED + 1):
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {MOST_NESTED} deep")


def _integer(text: str) -> int:
    value = int(text) if len(text) <= 20 else MOST_INTEGER + 1
    if abs(value) > MOST_INTEGER:
        raise ValueError(f"it has the number {shortened(text, 40)}, whose size is above {MOST_INTEGER}")
    return value


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it has the number {shortened(text, 40)}, which is not finite")
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"it has {text}, which is no number")


def expectation(message: str) -> str:
    """What pydantic expected, as a clause after ``expected``; empty where its message says something else.

    >>> expectation("Input should be a valid integer"), expectation("Field required")
    ('an integer', '')
    """
    for beginning in ("Input should be ", "Value error, expected "):
        if message.startswith(beginning):
            clause = message.removeprefix(beginning)
            return clause.replace("a valid ", "a ").replace("a integer", "an integer")
    return ""


def shown(value: Any) -> str:
    """A value for a message, whole if it is short; one that refers to itself many times could fill the memory."""
    try:
        return shortened(_SHORT.repr(value))
    except ValueError:  # Python prints no number of more than 4,300 digits
        return f"a very long {type(value).__name__}"


def shortened(text: str, most: int = MOST_SHOWN) -> str:
    """A text on one line, and of a long one the beginning.

    >>> shortened("a very long line", 8)
    'a very l...'
    """
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else f"{line[:most]}..."


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = MOST_SHOWN
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8


def is_exponent(text: str) -> bool:
    """``1e-3`` is a number to everyone but YAML 1.1, which wants ``1.0e-3``."""
    try:
        float(text)
    except ValueError:
        return False
    return "e" in text.lower() and not text.lstrip("+-").lower().startswith(("inf", "nan"))


def names_of(value: str | Sequence[str]) -> list[str]:
    """Names that were given as a list, or as one text with commas between them.

    >>> names_of("onnx, script")
    ['onnx', 'script']
    """
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
