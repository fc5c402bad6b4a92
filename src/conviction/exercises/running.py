"""Runs a learner's function on cases: in a process of its own, or here, as a notebook does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conviction.errors import StorageError
from conviction.exercises.exercise import Arguments, Exercise
from conviction.exercises.sandbox import call, decode, encode, trouble

SECONDS = 10.0
"""For all cases of an exercise together, which take milliseconds; what is imported before them is not counted."""

READY_SECONDS = 120.0
"""For the start of the process, in which Keras may be imported."""

MEMORY = 1 << 30
"""Bytes by which the process may grow."""


_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True)
class Trouble:
    """Why the learner's code did not answer.

    Attributes:
        kind: "absent" (no such function), "missing" (a package that the exercise needs), "kind" (an answer of a type
            that cannot be compared), "changed" (an argument was changed), "seconds", "ended" (the process ended), or
            the name of an exception.
        message: That of the exception, the name of the type, or the number of the argument, from 0.
        line: Of the learner's file, from 1; None if it is not known.
        called: Whether it came in a call of the function, and not before.
    """

    kind: str
    message: str
    line: int | None
    called: bool


@dataclass(frozen=True)
class CaseAnswers:
    """What a learner's function answered.

    Attributes:
        answers: To the first cases, in order.
        trouble: Why there are no more; None if all cases were answered.
        printed: What the code printed, cut off after 2,000 letters.
        warned: The first warning, such as NumPy's of an overflow.
    """

    answers: tuple[Any, ...]
    trouble: Trouble | None
    printed: str = ""
    warned: str = ""


def run_file(
    exercise: Exercise, path: Path, source: str, cases: Sequence[Arguments], seconds: float = SECONDS
) -> CaseAnswers:
    """Runs the function of a file, with bounds.

    Args:
        exercise: The exercise.
        path: The file, for messages.
        source: Its content.
        cases: The arguments of each call.
        seconds: How long all of them may take.

    Raises:
        StorageError: The system starts no process now.
    """
    with _sandbox() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(READY_SECONDS, end)
        clock.start()
        try:
            # A process that has ended, or is ended here, reads no more.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(_request(exercise, path, source, cases))
                process.stdin.close()
            ready = process.stdout.readline()
            clock.cancel()
            clock = threading.Timer(seconds, end)
            clock.start()
            rows = [*_rows([ready]), *_rows(process.stdout)]
        finally:
            clock.cancel()
            process.kill()
    return _case_answers(rows, len(cases), late=late.is_set(), seconds=seconds)


@contextlib.contextmanager
def _sandbox() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("sandbox.py")
    try:
        process = subprocess.Popen(
            # -I: nothing of the learner's folder is imported.
            [sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
    except OSError as failure:
        raise StorageError(f"Your code could not be started ({failure.strerror}). Try again.") from None
    with process:
        _running.add(process)
        try:
            yield process
        finally:
            _running.discard(process)


def end_all() -> None:
    """Ends what still runs, in whichever thread."""
    for process in list(_running):
        process.kill()


def _request(exercise: Exercise, path: Path, source: str, cases: Sequence[Arguments]) -> str:
    """What ``sandbox`` reads."""
    return json.dumps(
        {
            "source": source,
            "path": os.path.realpath(path),
            "function": exercise.name,
            "cases": [encode(case) for case in cases],
            "modules": exercise.modules,
            "memory": MEMORY,
            "parent": os.getpid(),
        }
    )


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        # What BLAS reserves for each thread is counted as memory.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "EXERCISE_PACKAGES": str(Path(np.__file__).parents[1]),
    }


def _rows(lines: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for line in lines:
        if not line.endswith("\n"):  # the process was killed while it wrote
            break
        rows.append(json.loads(line))
    return rows


def _case_answers(rows: Sequence[dict[str, Any]], cases: int, *, late: bool, seconds: float) -> CaseAnswers:
    answers = tuple(decode(row["answer"]) for row in rows if "answer" in row)
    last = rows[-1] if rows else {}
    words = {"printed": last.get("printed", ""), "warned": last.get("warned", "")}
    problem = None
    if "trouble" in last:
        problem = Trouble(last["trouble"], last["message"], last["line"], last["called"])
    elif len(answers) < cases:
        problem = Trouble("seconds" if late else "ended", f"{seconds:g}", None, False)
    return CaseAnswers(answers, problem, **words)


def run_here(
    function: Callable[..., Any], cases: Sequence[Arguments], *, network: bool = False
) -> CaseAnswers:
    """Runs a function in this process, without bounds: that of a notebook is the learner's own.

    Args:
        function: The learner's.
        cases: The arguments of each call.
        network: Whether a Keras model is asked for.
    """
    rows: list[dict[str, Any]] = []
    path = getattr(getattr(function, "__code__", None), "co_filename", "")
    for case in cases:
        try:
            rows.append(call(function, encode(case), network=network))
        except Exception as failure:  # whatever a learner's code does
            rows.append(trouble(failure, path))
        if "trouble" in rows[-1]:
            break
    return _case_answers(rows, len(cases), late=False, seconds=0.0)
