"""Training outside this process, which still keeps the run folder and evaluates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from conviction.flow.network import Learning
from conviction.flow.prepare import Prepared
from conviction.training import StopRequest, Training, TrainingState, Watcher


class Trainer(Protocol):
    """Trains in place of this process."""

    options: str
    """The options of a command that trains there, such as ``--on ray --workers 2``."""

    def accept(self, ready: Prepared) -> None:
        """Checks everything that can be wrong, before anything is written.

        Raises:
            RequestError: What was prepared cannot be trained there.
        """

    def plan(self) -> Sequence[str]:
        """Where and how it will train, in sentences."""

    def train(
        self,
        ready: Prepared,
        learns: Learning,
        *,
        watcher: Watcher,
        stop: StopRequest,
        start: TrainingState | None,
        keep: Callable[[TrainingState], None],
        noticed: Callable[[str], None],
    ) -> Training:
        """Trains what was accepted, and leaves the result in the model; as ``conviction.training.train`` does.

        Args:
            ready: As it was accepted.
            learns: What is trained of the network of this specification, and on what; its weights are replaced.
            watcher: As there.
            stop: As there.
            start: As there.
            keep: As there.
            noticed: Receives sentences that people should see while training continues.
        """

    def to_json(self) -> dict[str, Any]:
        """Where it trained, for ``environment.json``."""
