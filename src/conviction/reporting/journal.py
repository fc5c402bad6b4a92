"""What happens in a run as lines of a file, for a page that watches: a JSON object a line."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.reporting.steps import Step
from conviction.training import EpochRow, EpochTiming, Progress

if TYPE_CHECKING:
    from conviction.reporting.terminal import Silent, Terminal

# A line at most this often, in seconds; of a long training rarer still, so that it has some thousand lines.
LEAST_SECONDS = 0.2
SHARE_OF_TIME = 1 / 500
# Of the kernels, which take more room, some hundred.
SHARE_OF_KERNELS = 1 / 100


class Journal:
    """A ``Show`` that passes everything on to another one, and writes it down.

    Each line has ``at``, seconds since the epoch, and one of: ``doing`` (what takes a while), ``step`` (its title, once
    it is done), ``epochs`` (training starts), ``progress``, ``epoch`` (that has been validated), ``kernels`` (those of
    the first convolution, after ``x`` epochs).
    A line that cannot be written is left out: nobody's training ends because nobody can watch it.

    Args:
        show: Who else is shown the run.
        path: The file, which is appended to.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, show: Terminal | Silent, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._show, self._path, self._clock = show, path, clock
        self._began = self._last = clock()
        self._last_kernels = 0.0
        self._write(started=True)

    def loading(self, source: str, doing: str = "reading") -> None:
        """Passes on and writes what takes a while."""
        self._show.loading(source, doing)
        self._write(doing=doing)

    def step(self, step: Step) -> None:
        """Passes on a step that is done, and writes its title."""
        self._show.step(step)
        self._write(step=step.title)

    def training_starts(self, epochs: int) -> None:
        """Passes on and writes how many epochs are ahead."""
        self._show.training_starts(epochs)
        self._write(epochs=epochs)

    def progress(self, state: Progress) -> None:
        """Passes on where an epoch is, and writes it where the last line is old enough."""
        self._show.progress(state)
        now = self._clock()
        if now - self._last >= max(LEAST_SECONDS, SHARE_OF_TIME * (now - self._began)):
            self._last = now
            values = {
                name: getattr(state, name)
                for name in ("epoch", "images", "total", "loss", "accuracy", "images_per_second")
            }
            self._write(progress=values)
        shown = state.kernels is not None and bool(np.isfinite(state.kernels).all())
        if (
            state.kernels is not None
            and shown
            and now - self._last_kernels >= SHARE_OF_KERNELS * (now - self._began)
        ):
            self._last_kernels = now
            after = state.epoch - 1 + state.images / state.total
            self._write(kernels=_packed(state.kernels), x=round(after, 4))

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Passes on and writes an epoch."""
        self._show.epoch_done(row, timing)
        names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
        self._write(epoch={name: getattr(row, name) for name in names})

    def computing(self, done: int, total: int) -> None:
        """Passes on how far a frozen network is."""
        self._show.computing(done, total)

    def folds_done(self, done: float, total: int) -> None:
        """Passes on how many networks of the folds are done."""
        self._show.folds_done(done, total)

    def noticed(self, sentence: str) -> None:
        """Passes on what the curves show."""
        self._show.noticed(sentence)

    def close(self) -> None:
        """Passes on that the run has ended."""
        self._show.close()

    def _write(self, **values: Any) -> None:
        line = json.dumps({"at": round(self._clock(), 3), **values}) + "\n"
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            return


def _packed(kernels: np.ndarray) -> dict[str, Any]:
    """An array as its shape, whole numbers from -127 to 127 in base64, and what 127 stands for."""
    most = float(np.abs(kernels).max(initial=0.0)) or 1.0
    values = np.rint(kernels * (127 / most)).astype(np.int8)
    return {"shape": kernels.shape, "most": most, "values": base64.b64encode(values.tobytes()).decode()}
