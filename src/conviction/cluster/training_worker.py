"""One of several processes that train together: what runs in a Ray actor.

Each gathers the same batches, because their order depends only on seed and epoch, and JAX computes with its own part of
them. The first worker reports progress to the process that keeps the run folder.
"""

from __future__ import annotations

import os
import queue
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.config import Recipe
from conviction.flow.network import compiled_for, parted_for
from conviction.model import LayerRow
from conviction.reporting import Silent
from conviction.training import EpochRow, EpochTiming, Progress, StopRequest, Training, TrainingState, train
from conviction.training.state import read_variables

# The packages that decide the figures, and the messages between processes that train together.
PACKAGES = ("conviction", "jax", "jaxlib", "keras", "numpy")
# States may be large: training waits while this many have not been fetched.
MOST_UNFETCHED = 8


@dataclass(frozen=True)
class TrainingJob:
    """What is trained. ``train_images`` of the images that go with it are the training part, the rest validation."""

    recipe: Recipe
    shape: tuple[int, int, int]
    classes: int
    rows: list[LayerRow]
    train_images: int


@dataclass(frozen=True)
class GroupMember:
    """One of ``count`` workers, by its ``rank``; all of them meet at the ``address`` of the worker with rank 0."""

    rank: int
    count: int
    address: str


def package_versions() -> dict[str, str]:
    """The versions of ``PACKAGES`` that are installed here."""
    return {name: metadata.version(name) for name in PACKAGES}


def kept_port() -> socket.socket:
    """A socket that reserves a port of this machine for a server of this process, which shares it.

    It never listens itself, so every connection goes to the server.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind(("", 0))
    return kept


class Worker:
    """The actor. Its methods run in threads, so that it answers while it trains.

    Args:
        environment: Variables that JAX reads when it is imported.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        self._events: queue.Queue[Progress | TrainingState] = queue.Queue(MOST_UNFETCHED)
        self._stop = StopRequest()
        self._port = kept_port()

    def hello(self) -> tuple[dict[str, str], str]:
        """The versions, and the address that this machine's own name resolves to."""
        try:
            own = socket.gethostbyname(socket.gethostname())
        except OSError:
            own = "nowhere"
        return package_versions(), own

    def address(self) -> str:
        """An address of this machine whose port is kept free for the meeting of the workers."""
        import ray

        return f"{ray.util.get_node_ip_address()}:{self._port.getsockname()[1]}"

    def train(
        self,
        job: TrainingJob,
        member: GroupMember,
        versions: np.ndarray,
        targets: np.ndarray,
        start: TrainingState | None,
    ) -> tuple[Training, Mapping[str, Any]] | None:
        """Trains beside the others.

        Args:
            job: The same for all.
            member: Which of the workers this is.
            versions: (1, n, h, w, c) uint8, training images and then validation images; (1 + v, n, ...) float32, what
                a frozen start has made of them and of v varied versions.
            targets: (n, k) float32 of them.
            start: Where training continues, the same for all.

        Returns:
            The result of training, and the variables of the model; None from all but the first worker.

        Raises:
            TrainingError: The loss is no longer a number.
        """
        self._stop = StopRequest(_join(member))
        chief = member.rank == 0
        # All devices, which include those of every other worker.
        settled = job.recipe.training.model_copy(update={"devices": "all"})
        recipe = job.recipe.model_copy(update={"training": settled})
        # JAX refuses variables that begin differently in each process, as those of a backbone do until they are read.
        import_keras().utils.set_random_seed(0)
        model = compiled_for(
            recipe,
            job.shape,
            job.classes,
            job.rows,
            train_images=job.train_images,
            precision=settled.precision,
        )
        parted = parted_for(model, recipe, job.classes, job.train_images)
        if parted is not None:
            model = parted.rest
        training = train(
            model,
            pixels=versions[0],
            targets=targets,
            train_indices=np.arange(job.train_images),
            validation_indices=np.arange(job.train_images, versions.shape[1]),
            spec=settled,
            views=versions[1:] if len(versions) > 1 else None,
            augmentation=recipe.augmentation,
            watcher=self if chief else Silent(),
            stop=self._stop,
            start=start,
            keep=self._events.put if chief else lambda state: None,
        )
        return (training, read_variables(model)) if chief else None

    def progress(self, state: Progress) -> None:
        """Queues progress for ``events``."""
        self._events.put(state)

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Does nothing: both are in the state that was kept just before."""

    def events(self, seconds: float) -> list[Progress | TrainingState]:
        """The events since the last call; waits up to ``seconds`` for one to happen."""
        events: list[Progress | TrainingState] = []
        try:
            events.append(self._events.get(timeout=seconds))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            return events

    def stop(self, signal_number: int) -> None:
        """Ends training after the current step."""
        self._stop.signal_number = signal_number


def _join(member: GroupMember) -> Callable[[bool], bool]:
    """Joins the group of processes; returns the function by which they agree, for ``StopRequest``."""
    import jax

    # One program at a time: each waits for all processes, and two at once could deadlock.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.distributed.initialize(member.address, member.count, member.rank)
    mesh = jax.sharding.Mesh(jax.devices(), ("all",))
    divided = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("all"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    any_of = jax.jit(jax.numpy.any, out_shardings=whole)
    local = np.zeros(len(mesh.devices), bool)

    def agree(asked: bool) -> bool:
        local[:] = asked
        return bool(any_of(jax.make_array_from_callback(local.shape, divided, lambda index: local[index])))

    # The first program that they run together connects them, and for that each waits 30 seconds for the others: they
    # have just met, and building the network may take one of them that much longer.
    agree(False)
    return agree
