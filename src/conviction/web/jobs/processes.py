"""A process in a session of its own: how it is started, recognised after a restart, signalled and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# After the page, so that the page stays quick while training uses every core.
NICENESS = 10


def start(
    argv: Sequence[str], stdout: Path, stderr: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, which outlives this process.

    Args:
        argv: The program and its arguments.
        stdout: The file for its standard output.
        stderr: The file for its messages.
        variables: Of its environment, besides ours.

    Raises:
        OSError: It cannot be started.
    """
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            env={**os.environ, **(variables or {})},
        )
    with contextlib.suppress(OSError, AttributeError):
        # Set before it has threads, which inherit the value.
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    # Where Linux shares out the processor among sessions, niceness counts within one alone; this is the session's own.
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text(f"{NICENESS}\n", encoding="ascii")
    return process


def birth(pid: int) -> str | None:
    """When a living process was started, as the system reports it; None if there is no such process.

    The system reuses process numbers; together with its start time, a number identifies one process for good.
    """
    try:
        # The name in brackets may hold anything, so fields are counted from its end: 3 state, 22 starttime.
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
        return None if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
    listing = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listing.stdout.strip() or None


def is_alive(pid: int, born: str | None) -> bool:
    """Whether the process of this number and birth still runs."""
    return born is not None and birth(pid) == born


def interrupt(pid: int, born: str | None) -> None:
    """Asks it to stop at the next step, as Ctrl-C does."""
    _send(pid, born, signal.SIGINT)


def kill(pid: int, born: str | None) -> None:
    """Ends it and all that it started."""
    if is_alive(pid, born):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _send(pid: int, born: str | None, number: signal.Signals) -> None:
    if is_alive(pid, born):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
