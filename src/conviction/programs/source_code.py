"""The source of functions of this package, with all that they call, for a program that must not import it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

Function = Callable[..., Any]


def source_of(functions: Sequence[Function]) -> str:
    """Constants, then functions, each after those that it calls.

    Raises:
        ValueError: Two of them have one name.
    """
    constants: dict[str, str] = {}
    sources: dict[str, str] = {}
    for function in functions:
        _collect(function, constants, sources)
    return "\n\n\n".join([*(["\n".join(constants.values())] if constants else []), *sources.values()])


def _collect(function: Function, constants: dict[str, str], sources: dict[str, str]) -> None:
    assert isinstance(function, FunctionType)
    name, source = function.__name__, inspect.getsource(function).rstrip()
    source = re.sub(r"  # type: ignore\[[a-z, -]+\]", "", source)
    if name in sources:
        _add(sources, name, source)
        return
    used = [node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    own = {*function.__code__.co_varnames, *function.__code__.co_cellvars, name}
    for other in dict.fromkeys(used):
        value = None if other in own else function.__globals__.get(other)
        if isinstance(value, FunctionType):
            _collect(value, constants, sources)
        elif isinstance(value, int | float | str | tuple | dict):
            _add(constants, other, f"{other} = {value!r}")
    _add(sources, name, source)


def _add(lines: dict[str, str], name: str, source: str) -> None:
    if lines.setdefault(name, source) != source:
        raise ValueError(f"a program cannot hold two things with one name, {name}")
