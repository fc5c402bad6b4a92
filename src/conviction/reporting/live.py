"""A run in a notebook: one block that changes while the run goes on."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

from conviction.card import card
from conviction.reporting.drawing import curves
from conviction.reporting.steps import Step
from conviction.training import EpochRow, EpochTiming
from conviction.training import Progress as State

# Between two changes of the block, in seconds.
_PAUSE = 0.5
# Seen on white and on black; the text has the colour of the notebook.
_COLORS = {"training": "#d9772b", "validation": "#2b8bd9"}
_STYLE = "border-left:3px solid #2b7bba;padding:.2em 0 .2em .8em;overflow-x:auto;overflow-wrap:anywhere"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


class Block:
    """A piece of HTML in a notebook that changes where it is."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = 0.0

    @property
    def due(self) -> bool:
        """Whether the last change is long enough ago for another one, unless it is the last."""
        return time.monotonic() - self._drawn >= _PAUSE

    @property
    def is_shown(self) -> bool:
        """Whether there is something in the notebook."""
        return self._handle is not None

    def draw(self, html: str) -> None:
        """Puts this in the place of what was there."""
        from IPython.display import HTML, display

        page = HTML(html)  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(page, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(page)
        self._drawn = time.monotonic()


class LiveBlock:
    """Shows a run to a person in a notebook: its steps, and while it trains a bar and the curves."""

    def __init__(self) -> None:
        self._block = Block()
        self._steps: list[str] = []
        self._history: list[EpochRow] = []
        self._epochs = 0
        self._doing = ""
        self._done = 0.0
        self._curves = ""

    def loading(self, source: str, doing: str = "reading") -> None:
        """Shows that something is under way that takes a while."""
        self._under_way(f"{doing} {source} ...", 0.0)

    def computing(self, done: int, total: int) -> None:
        """Moves the bar of what a frozen network makes of the images."""
        self._under_way(f"{done:,} of {total:,} images through the frozen network", done / total)

    def folds_done(self, done: float, total: int) -> None:
        """Moves the bar of the networks that are trained for the estimate by folds."""
        self._under_way(f"{done:,.1f} of {total:,} networks of the folds", done / total)

    def step(self, step: Step) -> None:
        """Adds a step of the lab, closed but for its name and its first sentence."""
        table = card("", {}, head=step.table.columns, rows=step.table.rows) if step.table is not None else ""
        first, *others = step.sentences or ("",)
        name = f"<b>{len(self._steps) + 1}  {escape(step.title)}</b> {escape(first)}"
        more = "".join(f"<div>{escape(sentence)}</div>" for sentence in others) + table
        self._steps.append(
            f"<details><summary>{name}</summary>{more}</details>" if more else f"<div>{name}</div>"
        )
        self._doing = ""
        self._draw()

    def training_starts(self, epochs: int) -> None:
        """How many epochs are ahead."""
        self._epochs = epochs

    def progress(self, state: State) -> None:
        """Moves the bar of the epochs."""
        epochs = max(1, self._epochs)
        share = (state.epoch - 1 + state.images / max(1, state.total)) / epochs
        words = f"epoch {state.epoch} of {self._epochs}: loss {state.loss:.4f}, accuracy {state.accuracy:.2%}"
        self._under_way(words, share)

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Adds an epoch to the curves."""
        self._history.append(row)
        self._curves = ""
        words = (
            f"epoch {row.epoch} of {self._epochs}: loss {row.loss:.4f}, accuracy {row.accuracy:.2%}; in validation "
            f"{row.val_loss:.4f}, {row.val_accuracy:.2%}"
        )
        self._under_way(words, row.epoch / max(1, self._epochs))

    def noticed(self, sentence: str) -> None:
        """Adds what the curves show."""
        self._steps.append(f"<div>{escape(sentence)}</div>")
        self._draw()

    def close(self) -> None:
        """The run has ended, so nothing is under way any more."""
        self._doing = ""
        if self._block.is_shown:
            self._draw()

    def _under_way(self, words: str, share: float) -> None:
        self._doing, self._done = words, share
        if self._block.due:
            self._draw()

    def _draw(self) -> None:
        self._block.draw(self._html())

    def _html(self) -> str:
        bar = ""
        if self._doing:
            bar = (
                f'<div>{escape(self._doing)}</div><div style="background:#8884;height:.5em;max-width:40em">'
                f'<div style="background:#2b7bba;height:100%;width:{min(1.0, self._done):.1%}"></div></div>'
            )
        if self._history and not self._curves:
            self._curves = curves(self._history).svg()
            for name, color in _COLORS.items():
                self._curves = self._curves.replace(f"var(--{name})", color)
        drawn = f'<div style="max-width:50em">{self._curves}</div>' if self._curves else ""
        content = f"{''.join(self._steps)}{drawn}{bar}"
        return f'<div style="{_STYLE}">{content}</div>' if content else ""
