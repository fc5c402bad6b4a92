"""Workers that train together: they start together, and all end when one is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from conviction.audience import on_ray
from conviction.cluster.nodes import difference
from conviction.cluster.placing import PATIENCE_SECONDS, Size, node_name, reserve
from conviction.cluster.training_worker import GroupMember, TrainingJob, Worker, package_versions
from conviction.errors import ConvictionError, RequestError, TrainingError
from conviction.training import Progress, StopRequest, Training, TrainingState

# Between two checks of workers and signals.
POLL_SECONDS = 0.3
# A worker that is dead is known at once; one that lives may take this long to import its packages on a busy node.
START_SECONDS = 300.0
# How many characters of Ray's long messages are kept.
REASON = 400
# How a traceback names the error that was raised.
_RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception)\b")


class LostWorkers(Exception):
    """Workers have died, or the node that they were on; ``reason`` is what Ray says about it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Crew:
    """Actors with resources that are reserved for them.

    Args:
        ray: The connected module.
        workers: How many.
        size: What each takes.

    Raises:
        NoRoom: There was no room within ``PATIENCE_SECONDS``.
    """

    def __init__(self, ray: Any, workers: int, size: Size) -> None:
        from ray.util import placement_group_table
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._ray, self.workers = ray, workers
        self._group = reserve(ray, workers, size)
        placed = placement_group_table(self._group)["bundles_to_node_id"]
        names = {node["NodeID"]: node_name(node) for node in ray.nodes()}
        self.node_ids = [placed[rank] for rank in range(workers)]
        self._names = [names[node] for node in self.node_ids]
        self.nodes = sorted(set(self._names))
        kind = ray.remote(Worker)
        self._actors = [
            kind.options(
                num_cpus=size.cpus,
                num_gpus=size.gpus,
                max_concurrency=4,  # to train, to report, to be stopped, to answer whether it is alive
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, rank),
            ).remote(_environment(size))
            for rank in range(workers)
        ]

    def check(self) -> None:
        """Waits until all workers have started.

        Raises:
            RequestError: A node cannot run them, has other versions, or cannot be reached from the others by its name.
        """
        own = package_versions()
        addresses = {name.split()[0] for name in self.nodes}
        for actor, name in zip(self._actors, self._names, strict=True):
            try:
                versions, address = self._ray.get(actor.hello.remote(), timeout=START_SECONDS)
            except (self._ray.exceptions.RayError, TimeoutError) as failure:
                raise RequestError(
                    f"{on_ray()}: no worker could start on the node {name} ({_error_line(failure)}). It needs "
                    "Python with "
                    "the same packages as here: pip install 'conviction[ray]'"
                ) from None
            if other := difference(name, versions, own):
                raise RequestError(other)
            if len(addresses) > 1 and address.startswith("127."):
                raise RequestError(
                    f"{on_ray()}: the node {name} calls itself {address}, where other nodes cannot reach it. Map the "
                    "name of that machine to its address in the network, in its /etc/hosts."
                )

    def train(
        self,
        job: TrainingJob,
        data: tuple[Any, Any],
        start: TrainingState | None,
        tell: Callable[[Progress | TrainingState], None],
        stop: StopRequest,
    ) -> tuple[Training, Mapping[str, Any]]:
        """Trains to the end, or until a signal.

        Args:
            job: What is trained.
            data: References to its images and targets.
            start: Where training continues.
            tell: Receives progress, and each state to keep.
            stop: Passed on to the workers.

        Returns:
            The result of training, and the variables of the model.

        Raises:
            LostWorkers: One has died, or its node.
            TrainingError: The loss is no longer a number, or something failed in a worker that lives.
        """
        get, chief = self._ray.get, self._actors[0]
        try:
            address = get(chief.address.remote())
            running = [
                actor.train.remote(job, GroupMember(rank, self.workers, address), *data, start)
                for rank, actor in enumerate(self._actors)
            ]
            pending, asked = running, False
            while pending:
                if stop and not asked:
                    chief.stop.remote(stop.signal_number)
                    asked = True
                for event in get(chief.events.remote(POLL_SECONDS)):
                    stop.patient = True  # from now on there is a state to keep
                    tell(event)
                done, pending = self._ray.wait(pending, num_returns=len(pending), timeout=0)
                get(done)
            for event in get(chief.events.remote(0)):
                tell(event)
            left: tuple[Training, Mapping[str, Any]] = get(running[0])
            return left
        except self._ray.exceptions.RayError as failure:
            cause = getattr(failure, "cause", None)
            if isinstance(cause, ConvictionError):
                raise cause from None
            self._raise_if_lost(failure)
            raise TrainingError(f"A worker failed: {_error_line(failure)}") from None

    def close(self) -> None:
        """Ends all workers and releases their resources; they leave nothing that is needed."""
        from ray.util import remove_placement_group

        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        remove_placement_group(self._group)

    def _raise_if_lost(self, failure: Exception) -> None:
        """When one worker has died, the others fail as well; asks all of them, because those that live answer."""
        answers = [actor.hello.remote() for actor in self._actors]
        self._ray.wait(answers, num_returns=len(answers), timeout=PATIENCE_SECONDS)
        dead = []
        for answer, name in zip(answers, self._names, strict=True):
            try:
                self._ray.get(answer, timeout=0)
            except (self._ray.exceptions.RayError, TimeoutError):
                dead.append(name)
        if dead:
            count = f"{len(dead)} of {self.workers} workers" if self.workers > 1 else "The worker"
            where = ", ".join(sorted(set(dead)))
            message = f"{count} {'was' if len(dead) == 1 else 'were'} lost ({where})."
            raise LostWorkers(message, " ".join(str(failure).split())[-REASON:])


def _environment(size: Size) -> dict[str, str]:
    """The variables that tell JAX how many threads to use, and which devices."""
    threads = str(size.cpus)
    variables = {"KERAS_BACKEND": "jax", "NPROC": threads, "PJRT_NPROC": threads}
    return variables if size.gpus else {**variables, "JAX_PLATFORMS": "cpu"}


def _error_line(failure: Exception) -> str:
    """The error that was raised, out of Ray's message, which is a traceback; its own message may have many lines."""
    lines = str(failure).strip().splitlines()
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised or lines or [type(failure).__name__])[-1].strip()[:REASON]
