"""A process that has imported everything once, and forks a child for each command: ``python -m tests.zygote``.

Importing TensorFlow, scikit-learn and Matplotlib takes two thirds of the time of a small command. A child is the
command in all else: its arguments, folder, environment, streams and exit code are those of ``python -m conviction``,
and its module ``__main__`` is the same. Requests are lines of JSON on standard input, answers lines on standard output.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
IMPORTED = (
    *("matplotlib.figure", "scipy.stats", "sklearn.datasets", "sklearn.model_selection"),
    *(
        "conviction.flow.export",
        "conviction.flow.resume",
        "conviction.flow.inspect",
        "conviction.experiments.explore",
    ),
)
# What modules read while they are imported.
READ_AT_IMPORT = ("KERAS_", "TF_", "JAX_", "XLA_", "PYTHON")


class Zygote:
    """The other side: starts the process, and asks it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], out: Path, err: Path
    ) -> int:
        """The exit code of a command; what it prints is in the two files."""
        if self._process is None:
            clean = {
                k: v for k, v in os.environ.items() if not k.startswith(("CONVICTION_", *READ_AT_IMPORT))
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.zygote"],
                cwd=ROOT,
                env={**clean, "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            "out": str(out),
            "err": str(err),
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def main() -> None:
    """Imports, and forks until standard input ends."""
    from conviction.backend import import_keras

    for name in IMPORTED:
        import_module(name)
    import_keras()
    # A child's garbage collector leaves alone what was imported; looking through it would copy its memory, too.
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(asked)
            return
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(asked: dict[str, Any]) -> None:
    """Is the command from here on."""
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), (asked["out"], os.O_WRONLY), (asked["err"], os.O_WRONLY)]
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[0] = asked["cwd"]  # as `python -m` has it
    sys.argv = ["conviction", *asked["arguments"]]
    runpy.run_module("conviction", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
