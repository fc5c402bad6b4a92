"""Runs a learner's function, with bounds: a script of its own that needs nothing of this package.

It reads one JSON object from stdin: the ``source`` and its ``path``, the ``function``, the encoded ``cases``, the
``modules`` that may be imported, and ``memory`` in bytes. It writes a JSON object a line for each case, as soon as it
is answered. It guards against accidents, such as endless memory or a deleted file, not against an attacker.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import importlib
import io
import json
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Where the parent found NumPy: -I leaves out a user's own folder and PYTHONPATH.
sys.path.append(os.environ.get("EXERCISE_PACKAGES", ""))

import numpy as np

# Modules of Python that neither read nor write anything.
HARMLESS = (
    "__future__", "bisect", "cmath", "collections", "copy", "dataclasses", "decimal", "enum", "fractions", "functools",
    "heapq", "itertools", "math", "numbers", "numpy", "operator", "random", "re", "statistics", "string", "struct",
    "time", "typing", "warnings",
)  # fmt: skip

# What the audit hook of Python reports, by the beginning of its name.
_FORBIDDEN = (
    "ctypes.", "fcntl.", "ftplib.", "http.", "os.exec", "os.fork", "os.kill", "os.link", "os.mkdir", "os.posix_spawn",
    "os.putenv", "os.remove", "os.rename", "os.rmdir", "os.spawn", "os.symlink", "os.system", "os.truncate",
    "os.unlink", "shutil.", "smtplib.", "socket.", "subprocess.", "urllib.", "webbrowser.",
)  # fmt: skip

# The letters of what a learner prints that are sent back.
MOST_PRINTED = 2_000

# Answers of the exercises have a few; an array may have more.
MOST_VALUES = 10_000

# Arguments of the exercises are three deep.
MOST_DEEP = 10


class NotAllowed(Exception):  # what a learner reads, not an error of this package
    """The learner's code does something that an exercise has no use for."""


def encode(value: Any, deep: int = 0) -> Any:
    """A value as JSON: arrays, numbers, text, bytes, and lists, tuples and dictionaries with text as keys.

    Args:
        value: The value.
        deep: In how many others it is.

    Raises:
        TypeError: It is something else, or nested too deep.
    """
    if deep > MOST_DEEP:
        raise TypeError(f"{type(value).__name__} of lists in lists in lists")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # Half of a surrogate pair is no letter.
        return str.__str__(value).encode("utf-8", "replace").decode()
    if isinstance(value, np.generic | np.ndarray):
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError("an array of objects")
        data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {"array": data, "dtype": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, int | float):
        # A subclass may show itself in another way.
        return {"number": int.__repr__(value) if isinstance(value, int) else float.__repr__(value)}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, tuple | list | dict) and len(value) > MOST_VALUES:
        raise TypeError(f"a {type(value).__name__} of {len(value):,} values")
    if isinstance(value, tuple | list):
        return {"tuple" if isinstance(value, tuple) else "list": [encode(one, deep + 1) for one in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"mapping": [[encode(key), encode(one, deep + 1)] for key, one in value.items()]}
    raise TypeError(type(value).__name__)


def decode(value: Any) -> Any:
    """What ``encode`` made JSON of; a new object each time."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        data = np.frombuffer(base64.b64decode(value["array"]), value["dtype"])
        return data.reshape(value["shape"]).copy()
    if "number" in value:
        number = value["number"]
        return int(number) if number.lstrip("-").isdigit() else float(number)
    if "bytes" in value:
        return base64.b64decode(value["bytes"])
    if "mapping" in value:
        return {decode(key): decode(one) for key, one in value["mapping"]}
    ((kind, items),) = value.items()
    return (tuple if kind == "tuple" else list)(decode(one) for one in items)


def described(value: Any, network: bool = False) -> Any:
    """An answer that can be sent: a Keras model as the rows of its summary, (layer, output shape, parameters).

    Args:
        value: What the function returned.
        network: Whether a model is asked for; anything else is then sent as None.
    """
    if not network:
        return value
    if not (hasattr(value, "layers") and hasattr(value, "count_params")):
        return None
    if not getattr(value, "built", False):
        return []
    return [
        (type(layer).__name__, tuple(layer.output.shape[1:]), int(layer.count_params()))
        for layer in value.layers
    ]


class _Printed(io.TextIOBase):
    """Keeps the beginning of what is printed, and forgets the rest."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        if len(self.text) < MOST_PRINTED:
            self.text += text[: MOST_PRINTED - len(self.text)]
        return len(text)


def end_with_parent(parent: int) -> None:
    """Ends this process soon after the one that started it, whatever happened to that."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def guard(path: str, modules: Sequence[str]) -> Callable[..., Any]:
    """Forbids what reads and writes from here on; returns an ``__import__`` for the learner's code."""
    real = builtins.__import__
    allowed = {*HARMLESS, *modules}
    roots = tuple(os.path.realpath(root) + os.sep for root in {sys.prefix, sys.base_prefix, *sys.path})
    own = os.path.realpath(os.path.dirname(__file__)) + os.sep

    def only_allowed(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] not in allowed:
            raise NotAllowed(f"this exercise does not need to import {name.partition('.')[0]}")
        return real(name, *rest, **more)

    def audited(event: str, details: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise NotAllowed(f"this exercise does not need {event}")
        if event == "open" and isinstance(details[0], str | bytes):
            file = os.path.realpath(os.fsdecode(details[0]))
            writes = isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            known = file == path or (file.startswith(roots) and not file.startswith(own))
            if writes or not known:
                raise NotAllowed(f"this exercise does not need to open {os.fsdecode(details[0])}")

    sys.addaudithook(audited)
    return only_allowed


def bound_memory(memory: int) -> None:
    """Lets the process grow by ``memory`` bytes and no more; does nothing on a system without such a limit."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as pages:
            size = int(pages.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    resource.setrlimit(resource.RLIMIT_AS, (size + memory, size + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def trouble(failure: BaseException, path: str) -> dict[str, Any]:
    """What went wrong in the learner's code, and on which of its lines."""
    # Not extract_tb, which would read the files for their lines.
    frames = traceback.walk_tb(failure.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == path]
    line = failure.lineno if isinstance(failure, SyntaxError) and failure.filename == path else None
    message = failure.msg if isinstance(failure, SyntaxError) else str(failure)
    name = type(failure).__name__
    return {
        "trouble": encode(name),
        "message": encode(message[:500]),
        "line": lines[-1] if lines else line,
        "called": True,
    }


def call(function: Callable[..., Any], case: Any, *, network: bool = False) -> dict[str, Any]:
    """One call with an encoded case: its encoded answer, or why that cannot be used.

    Args:
        function: The learner's.
        case: The encoded arguments, a tuple.
        network: As for ``described``.
    """
    arguments = decode(case)
    answer = function(*arguments)
    for number, (one, kept) in enumerate(zip(arguments, case["tuple"], strict=True)):
        if encode(one) != kept:
            return {"trouble": "changed", "message": str(number), "line": None, "called": True}
    try:
        return {"answer": encode(described(answer, network))}
    except TypeError as failure:
        return {"trouble": "kind", "message": str(failure), "line": None, "called": True}


def main() -> None:
    """Answers the cases on stdin."""
    asked = json.loads(sys.stdin.read())
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    path, printed = asked["path"], _Printed()
    warned: list[str] = []

    def send(row: Mapping[str, Any]) -> None:
        words = {"printed": encode(printed.text), "warned": encode(warned[0] if warned else "")}
        out.write(json.dumps({**row, **words}) + "\n")
        out.flush()

    warnings.showwarning = lambda message, *_, **__: warned.append(str(message))
    end_with_parent(asked["parent"])

    for name in asked["modules"]:
        try:
            importlib.import_module(name)
        except ImportError:
            send({"trouble": "missing", "message": name, "line": None, "called": False})
            return
    send({"ready": True})
    bound_memory(asked["memory"])
    names = {"__name__": "exercise", "__file__": path}
    names["__builtins__"] = {**vars(builtins), "__import__": guard(path, asked["modules"])}
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        called = False
        try:
            exec(compile(asked["source"], path, "exec"), names)
            function = names.get(asked["function"])
            if not callable(function):
                send({"trouble": "absent", "message": "", "line": None, "called": False})
                return
            called = True
            for case in asked["cases"]:
                row = call(function, case, network="keras" in asked["modules"])
                send(row)
                if "trouble" in row:
                    return
        except (Exception, SystemExit, KeyboardInterrupt) as failure:  # whatever a learner's code does
            send({**trouble(failure, path), "called": called})


if __name__ == "__main__":
    main()
