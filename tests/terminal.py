"""The command at a terminal of 80 columns: what a person sees there, drawn by a terminal emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pyte
from rich.cells import cell_len

from tests.conftest import environment

COLUMNS, ROWS = 80, 24
# What moves the cursor or colours, and shows nothing itself.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class AtTerminal:
    """A running command, and the screen that it writes to."""

    def __init__(self, arguments: list[str], cwd: Path, home: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        clean = {k: v for k, v in environment(home).items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        self._process = subprocess.Popen(
            # A session of its own, whose terminal this is: that is how Ctrl-C reaches it.
            [sys.executable, "-c", _BECOME, os.ttyname(slave), *arguments],
            start_new_session=True,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**clean, "TERM": "xterm-256color"},
            cwd=cwd,
        )
        os.close(slave)
        self._written = b""
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10_000, ratio=1e-9)
        self._stream = pyte.ByteStream(self._screen)

    def see(self) -> bool:
        """Takes what has been written meanwhile; False once nothing can come any more."""
        try:
            written = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self._written += written
        self._stream.feed(written)
        return bool(written)

    def until(self, seen: Callable[[AtTerminal], bool]) -> None:
        """Waits until the screen is as wanted."""
        while not seen(self):
            assert self.see(), "the command ended before:\n" + "\n".join(self.lines)

    def press(self, keys: str) -> None:
        """Types."""
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Waits for the end; the exit code."""
        while self.see():
            pass
        return self._process.wait()

    def close(self) -> None:
        """Ends a command that a test has left."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def lines(self) -> list[str]:
        """Everything on the screen, and what has been scrolled out of it."""
        above = ["".join(line[i].data for i in range(COLUMNS)) for line in self._screen.history.top]
        return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def last_line(self) -> str:
        """The last one that is not empty."""
        return next((line for line in reversed(self.lines) if line), "")

    @property
    def line_of_the_cursor(self) -> str:
        """Up to where the next letter would stand."""
        return self._screen.display[self._screen.cursor.y][: self._screen.cursor.x]

    @property
    def cursor_shown(self) -> bool:
        """Whether a person sees where they type."""
        return not self._screen.cursor.hidden

    @property
    def too_long(self) -> list[str]:
        """Lines that the terminal had to break; an error is one line, however long."""
        plain = _CONTROL.sub("", self._written.decode()).replace("^C", "")
        lines = [line for line in re.split(r"[\r\n]", plain) if not line.startswith("conviction: ")]
        return [line for line in lines if cell_len(line) > COLUMNS]


_BECOME = """
import os, runpy, sys
os.open(sys.argv[1], os.O_RDWR)
sys.argv = ["conviction", *sys.argv[2:]]
runpy.run_module("conviction", run_name="__main__", alter_sys=True)
"""
