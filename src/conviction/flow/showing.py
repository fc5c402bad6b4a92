"""How a run is shown to a person while it goes on."""

from __future__ import annotations

import sys
from typing import Literal, Protocol, TypeAlias

from conviction.errors import RequestError
from conviction.reporting import LiveBlock, LogLines, Silent, Step, Terminal, in_notebook
from conviction.training import Watcher


class Show(Watcher, Protocol):
    """Shows a run to a person: ``Terminal``, ``LiveBlock`` or ``Silent``."""

    def loading(self, source: str, doing: str = "reading") -> None:
        """Something that can take a while starts: reading a source, unless ``doing`` says otherwise."""

    def step(self, step: Step) -> None:
        """A step of the lab is done; the training step starts."""

    def training_starts(self, epochs: int) -> None:
        """Training starts."""

    def computing(self, done: int, total: int) -> None:
        """A frozen network has been run on so many of the images that are needed for the first time."""

    def folds_done(self, done: float, total: int) -> None:
        """So many of the networks of ``evaluation.folds`` have been trained and tested."""

    def noticed(self, sentence: str) -> None:
        """The curves show something that people should know while training continues."""

    def close(self) -> None:
        """The run has ended, whether it succeeded or failed."""


Showing: TypeAlias = Show | Literal["live", "plain", "log"] | None


def shown(show: Showing) -> Show:
    """What shows a run.

    Args:
        show: "live": in a notebook one block that changes, elsewhere the terminal (stderr), with bars; "plain": lines
            on stderr, in a notebook on stdout; "log": these lines as records of Python's logger ``conviction``; None:
            nothing. Or an object that shows it.

    Raises:
        RequestError: It is another text.
    """
    if show is None:
        return Silent()
    if show == "plain":
        # A notebook shows stderr as if something had failed.
        return Terminal(sys.stdout if in_notebook() else sys.stderr, plain=True)
    if show == "log":
        return Terminal(LogLines(), plain=True)
    if show == "live":
        return LiveBlock() if in_notebook() else Terminal(sys.stderr)
    if isinstance(show, str):
        raise RequestError(f"show: expected 'live', 'plain', 'log' or None; got '{show}'.")
    return show
