"""Training on several workers of a Ray cluster: Keras's data parallelism on JAX, in a process for each.

The process of the command keeps the run folder, as it does on one machine, and the first worker reports progress to it.
Losing a worker ends the others, because they wait for one another; training then continues from the last state that was
kept, as ``resume`` does, with the workers that the cluster still has room for.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from conviction.audience import on_ray, option
from conviction.backend import import_keras
from conviction.cluster.connection import connected
from conviction.cluster.crew import Crew, LostWorkers
from conviction.cluster.nodes import in_words
from conviction.cluster.placing import NoRoom, Size, capacity, smallest_store
from conviction.cluster.training_worker import TrainingJob
from conviction.data import encode_labels
from conviction.errors import RequestError, TrainingError
from conviction.flow.network import Learning
from conviction.flow.prepare import Prepared
from conviction.process import default_variable, process_restored
from conviction.training import Progress, StopRequest, Training, TrainingState, Watcher
from conviction.training.augment import active_augmentations
from conviction.training.state import write_variables
from conviction.training.views import frozen_layers, views_kept

# This many losses in a row, without a state kept in between, are not an accident.
MOST_LOSSES = 3


@contextmanager
def ray_workers(workers: int, *, cpus: int = 1, gpus: int = 0) -> Iterator[RayTrainer]:
    """Workers that train instead of this process, as the ``trainer`` of ``fit`` and ``resume``.

    Args:
        workers: How many processes, at least 1.
        cpus: CPUs that each takes, at least 1.
        gpus: GPUs that each takes, at least 0.

    Raises:
        RequestError: A number is too small, the cluster cannot be reached or has too little, or Keras already runs on
            another backend than JAX.
    """
    for name, number, least in (
        (option("workers"), workers, 1),
        (option("cpus-per-worker", "cpus"), cpus, 1),
        (option("gpus-per-worker", "gpus"), gpus, 0),
    ):
        if number < least:
            raise RequestError(f"{name}: expected at least {least}; got {number}.")
    with process_restored():
        use_jax()
        # When one worker is lost the others fail too, and Ray would print their errors long afterwards.
        default_variable("RAY_IGNORE_UNHANDLED_ERRORS", "1")
        yield from _trainer(workers, cpus, gpus)


def _trainer(workers: int, cpus: int, gpus: int) -> Iterator[RayTrainer]:
    with connected() as ray:
        trainer = RayTrainer(ray, workers, Size(cpus, gpus))
        try:
            yield trainer
        finally:
            trainer.close()


def use_jax() -> None:
    """Makes Keras run on JAX, the backend on which it distributes training.

    Raises:
        RequestError: Another backend was asked for, or runs in this process already.
    """
    if "keras" not in sys.modules:
        default_variable("KERAS_BACKEND", "jax")
    # This process evaluates, perhaps beside a worker on the same GPU.
    default_variable("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    asked = os.environ.get("KERAS_BACKEND", "jax")
    if asked == "jax" and find_spec("jax") is None:
        raise RequestError(f"{on_ray()}: training needs JAX: pip install 'conviction[ray]'")
    backend = asked if asked != "jax" else import_keras().backend.backend()
    if backend != "jax":
        raise RequestError(
            f"{on_ray()}: Keras spreads training over workers on JAX only, and the backend is {backend}. Set "
            f"KERAS_BACKEND=jax in a new process, or train on this machine without {on_ray()}."
        )


class RayTrainer:
    """A ``conviction.flow.trainer.Trainer`` on Ray, made by ``ray_workers``."""

    def __init__(self, ray: Any, workers: int, size: Size) -> None:
        self._ray, self._asked, self._size = ray, workers, size
        self._crew: Crew | None = None
        self._batch = 0
        self._history: list[dict[str, Any]] = []
        self.options = f"--on ray --workers {workers}"
        if size != Size():
            self.options += f" --cpus-per-worker {size.cpus} --gpus-per-worker {size.gpus}"

    def accept(self, ready: Prepared) -> None:
        """Checks everything that can be wrong, and starts the workers."""
        if ready.folds:
            raise RequestError(
                f"evaluation.folds={ready.recipe.evaluation.folds}: the networks of the folds are trained on one "
                f"machine, not on workers. Leave out {on_ray()}, or leave out the folds."
            )
        self._batch = ready.recipe.training.batch_size
        devices = self._devices(self._asked)
        if self._batch % devices:
            nearest = max(1, round(self._batch / devices)) * devices
            raise RequestError(
                f"training.batch_size={self._batch}: expected a multiple of {devices}, for {self._asked} workers of "
                f"{self._size}. Try training.batch_size={nearest}, or another number of {option('workers')}."
            )
        room = capacity(self._ray, self._size)
        if room < self._asked:
            raise RequestError(
                f"{option('workers')} {self._asked}: expected at most {room}, for workers of {self._size}; "
                "the cluster has "
                f"{in_words(self._ray)}."
            )
        self._crew = Crew(self._ray, self._asked, self._size)
        self._crew.check()
        images = len(ready.split.train) + len(ready.split.validation)
        each = _input_bytes(ready) + 4 * len(ready.images.class_names)
        needed = images * each
        node, store = smallest_store(self._ray, self._crew.node_ids)
        if needed > store:
            raise RequestError(
                f"{on_ray()}: {images:,} images take {needed / 2**20:,.0f} MiB, and the object store of the node "
                f"{node} has {store / 2**20:,.0f} MiB. Start Ray there with a larger --object-store-memory, or train "
                "on one machine."
            )

    def plan(self) -> Sequence[str]:
        """Says which workers and nodes will train, and how a batch is divided."""
        return [
            f"Training on {self._with()}; the learning rate stays the same, because the global batch does."
        ]

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
        """See ``Trainer``.

        Raises:
            TrainingError: The loss is no longer a number, or workers are lost again and again.
        """
        job, data = self._job(ready, learns)
        last, losses = start, 0

        def tell(state: Progress | TrainingState) -> None:
            nonlocal last, losses
            if isinstance(state, Progress):
                watcher.progress(state)
                return
            keep(state)
            epochs_shown = len(last.history) if last else 0
            last, losses = state, 0
            for row, timing in zip(state.history[epochs_shown:], state.timing[epochs_shown:], strict=True):
                watcher.epoch_done(row, timing)

        while True:
            assert self._crew is not None  # accepted before
            self._remember(last)
            try:
                training, variables = self._crew.train(job, data, last, tell, stop)
                break
            except LostWorkers as lost:
                stop.patient = False
                if stop:
                    raise KeyboardInterrupt from None
                losses += 1
                if losses >= MOST_LOSSES:
                    raise TrainingError(
                        f"{lost} This has happened {losses} times in a row. Ray's message ends with: {lost.reason}"
                    ) from None
                self._replace_crew(str(lost))
                noticed(f"{lost} Training continues from {_position(last)}, on {self._with()}.")
        self._crew.close()
        write_variables(learns.model, variables)
        return training

    def to_json(self) -> dict[str, Any]:
        """Workers and nodes, at the beginning and after each loss."""
        return {
            "on": "ray",
            "workers": self._history[-1]["workers"],
            "cpus_per_worker": self._size.cpus,
            "gpus_per_worker": self._size.gpus,
            "restarts": len(self._history) - 1,
            "history": self._history,
        }

    def close(self) -> None:
        """Ends the workers."""
        if self._crew:
            self._crew.close()

    def _job(self, ready: Prepared, learns: Learning) -> tuple[TrainingJob, Any]:
        """What is trained, and references to its inputs and targets, which are put into the object store once."""
        images, split = ready.images, ready.split
        chosen = np.concatenate([split.train, split.validation])
        shape, classes = images.rule.shape, len(images.class_names)
        job = TrainingJob(ready.recipe, shape, classes, ready.rows, len(split.train))
        targets = encode_labels(images.labels[chosen], classes)
        versions = learns.inputs[np.newaxis, chosen]  # (1, n, ...), and perhaps (v, n, ...) after it
        if learns.views is not None:
            versions = np.concatenate([versions, learns.views[:, chosen]])
        return job, (self._ray.put(versions), self._ray.put(targets))

    def _replace_crew(self, lost: str) -> None:
        """Starts as many workers as the cluster still has room for.

        Raises:
            TrainingError: It has no room, or other work takes it.
        """
        assert self._crew is not None
        self._crew.close()
        while count := self._most():
            try:
                self._crew = Crew(self._ray, count, self._size)
                return
            except NoRoom as failure:
                # A node that has just died counts until Ray notices.
                if self._most() == count:
                    raise TrainingError(f"{lost} {failure}") from None
        raise TrainingError(
            f"{lost} The cluster has {in_words(self._ray)} left, which is not enough for a worker."
        )

    def _most(self) -> int:
        """The largest number of workers that fits, is not above the request, and divides a batch evenly."""
        room = min(self._asked, capacity(self._ray, self._size))
        return next((n for n in range(room, 0, -1) if self._batch % self._devices(n) == 0), 0)

    def _devices(self, workers: int) -> int:
        return workers * max(1, self._size.gpus)

    def _with(self) -> str:
        assert self._crew is not None
        count, nodes = self._crew.workers, self._crew.nodes
        devices = self._devices(count)
        return (
            f"{count} worker{'s' if count > 1 else ''} of {self._size} each on Ray "
            f"(node{'s' if len(nodes) > 1 else ''} {', '.join(nodes)}): "
            f"global batch {self._batch} = {devices} x {self._batch // devices}"
        )

    def _remember(self, last: TrainingState | None) -> None:
        assert self._crew is not None
        where = {"epoch": last.epoch if last else 0, "step": last.step if last else 0}
        self._history.append({"from": where, "workers": self._crew.workers, "nodes": self._crew.nodes})


def _input_bytes(ready: Prepared) -> int:
    """Of one image as workers get it: its pixels, or what the frozen start of the network makes of its versions."""
    kept = views_kept(ready.recipe)
    if not kept:
        return ready.images.pixels[:1].nbytes
    row = ready.rows[frozen_layers(ready.recipe.model)]  # before it is that of the input
    versions = 1 + kept if active_augmentations(ready.recipe.augmentation) else 1
    return versions * 4 * math.prod(row.output)


def _position(state: TrainingState | None) -> str:
    if state is None or not (state.epoch or state.step):
        return "the beginning"
    return (
        f"step {state.step:,} of epoch {state.epoch + 1}" if state.step else f"the end of epoch {state.epoch}"
    )
