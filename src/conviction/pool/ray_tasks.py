"""Runs tasks as Ray tasks, with the same contract as the pool of processes in ``processes.py``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any

from conviction.audience import on_ray, option
from conviction.cluster import nodes
from conviction.errors import ClusterError, RequestError
from conviction.pool.processes import ATTEMPTS, LOOK, Hear, Outcome, Task
from conviction.pool.worker import answer

# How many more attempts a task gets when its nodes go away: preemptible nodes do that, and the task is not to blame.
NODES = 5
# How many tasks a worker runs before it ends, because the memory that libraries keep for each adds up.
CALLS = 100
# How often the cluster is asked for its room, in seconds.
COUNT = 1.0
# How long to wait for cancelled tasks to end, in seconds.
ENDING = 10.0
# How long to wait for a node with room once there is none, in seconds.
WAIT = 300.0


@dataclass(frozen=True)
class NodeShare:
    """What a task takes of its node: CPUs and GPUs; a fraction of a GPU lets several tasks share one."""

    cpus: float = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        if not 0 < self.cpus < math.inf:
            raise RequestError(f"{option('cpus-per-trial')}: expected a number above 0; got {self.cpus:g}.")
        if not 0 <= self.gpus < math.inf or (self.gpus > 1 and self.gpus % 1):
            raise RequestError(
                f"{option('gpus-per-trial')}: expected a fraction of one, such as 0.5, or a whole number; got "
                f"{self.gpus:g}."
            )

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many tasks a node of these resources has room for."""
        room = _times(self.cpus, resources.get("CPU", 0))
        if not self.gpus:
            return room
        gpus = resources.get("GPU", 0)
        # Each GPU that is shared serves its own tasks; a share cannot span two GPUs.
        return min(room, int(gpus) * _times(self.gpus, 1) if self.gpus <= 1 else _times(self.gpus, gpus))


def _times(part: float, whole: float) -> int:
    return int(whole / part + 1e-9)


@dataclass(frozen=True)
class _Running:
    task: Task
    attempt: int
    lost: int  # how many nodes went away with it


class _Mailbox:
    """Passes messages between tasks, which report and wait for an answer, and the driver; an actor on its node."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[tuple[int, str, int, str, Any]] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._count = 0

    async def tell(self, key: str, attempt: int, kind: str, value: Any) -> bool:
        """Called by a task: sends a message and waits for the driver's answer."""
        self._count += 1
        number = self._count
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._messages.put_nowait((number, key, attempt, kind, value))
        return await self._waiting[number]

    async def listen(self) -> list[tuple[int, str, int, str, Any]]:
        """Called by the driver: returns all messages, as soon as there is one."""
        messages = [await self._messages.get()]
        while not self._messages.empty():
            messages.append(self._messages.get_nowait())
        return messages

    async def reply(self, answers: Mapping[int, bool]) -> None:
        """Called by the driver: answers messages by number."""
        for number, goes_on in answers.items():
            self._waiting.pop(number).set_result(goes_on)


def _run(task: Task, attempt: int, mailbox: Any, here: nodes.Versions) -> tuple[Any, ...]:
    """Runs on a node; ``("done", value, seconds)``, ``("raised", reason, seconds)`` or ``("refused", reason, 0.0)``."""
    import ray

    began = time.monotonic()
    node = ray.util.get_node_ip_address()
    # A node that joined late has not been checked.
    refused = nodes.difference(node, _versions(), here)
    if refused:
        return ("refused", refused, 0.0)
    mailbox.tell.remote(task.key, attempt, "began", node)
    kind, content = answer(
        task.function, task.payload, lambda v: ray.get(mailbox.tell.remote(task.key, attempt, "report", v))
    )
    return (kind, content, time.monotonic() - began)


@cache
def _versions() -> nodes.Versions:
    return nodes.versions()


@dataclass
class RayPool:
    """Runs tasks on a cluster. Ray owns the workers, and uses each for many tasks of a command.

    Attributes:
        ray: The connected module.
        jobs: How many tasks Ray has at once; None for as many as fit, even as nodes come and go.
        limit: Seconds that a task may take; None for no limit.
        share: What each task takes of its node.
    """

    ray: Any
    jobs: int | None = None
    limit: float | None = None
    share: NodeShare = field(default_factory=NodeShare)
    _running: dict[Any, _Running] = field(default_factory=dict, init=False)
    _began: dict[str, tuple[float, str]] = field(default_factory=dict, init=False)
    _room: int = field(default=0, init=False)
    _counted: float = field(default=-math.inf, init=False)
    _had_room: float = field(default_factory=time.monotonic, init=False)

    def __enter__(self) -> RayPool:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray = self.ray
        beside_us = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = ray.remote(num_cpus=0)(_Mailbox).options(scheduling_strategy=beside_us).remote()
        self._listening = self._mailbox.listen.remote()
        self._here = _versions()
        gpus = self.share.gpus
        environment = nodes.environment()
        if 0 < gpus < 1:  # otherwise the first task takes all memory of the GPU
            environment = {
                "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * gpus:.2f}",
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                **environment,
            }
        self._remote = ray.remote(
            num_cpus=self.share.cpus,
            num_gpus=gpus,
            max_retries=0,  # attempts are counted here
            max_calls=1 if gpus else CALLS,  # a process keeps the first GPU that it has seen
            runtime_env={"env_vars": environment},
        )(_run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for ref in self._running:
            self._cancel(ref)
        # A task that finds no mailbox before it is cancelled would fail by itself, and its process would stay.
        if self._running:
            self.ray.wait(list(self._running), num_returns=len(self._running), timeout=ENDING)
        self._running.clear()
        self.ray.kill(self._mailbox)

    def run(self, tasks: Iterator[Task], hear: Hear = lambda key, value: True) -> Iterator[Outcome]:
        """Yields outcomes as they come; takes a task from ``tasks`` only when there is room for it.

        Raises:
            RequestError: A node that joined late has other versions, so its results would differ.
            ClusterError: No node has had room for a task for a long time.
        """
        again: deque[_Running] = deque()

        def following() -> _Running | None:
            if again:
                return again.popleft()
            task = next(tasks, None)
            return None if task is None else _Running(task, 1, 0)

        while True:
            while len(self._running) < self._most() and (running := following()) is not None:
                ref = self._remote.remote(running.task, running.attempt, self._mailbox, self._here)
                self._running[ref] = running
            if not self._running:
                return
            ready, _ = self.ray.wait([*self._running, self._listening], timeout=LOOK)
            if self._listening in ready:
                self._listen(hear)
            for ref in [ref for ref in ready if ref in self._running]:
                ended = self._running.pop(ref)
                outcome, lost = self._outcome(ref, ended)
                if outcome.died and ended.attempt < ATTEMPTS + min(lost, NODES):
                    again.append(_Running(ended.task, ended.attempt + 1, lost))
                else:
                    yield outcome
            yield from self._overdue()

    def _most(self) -> int:
        if self.jobs is not None:
            return self.jobs
        if time.monotonic() - self._counted > COUNT:
            self._counted = time.monotonic()
            self._room = sum(self.share.fits(node["Resources"]) for node in nodes.alive(self.ray))
            if self._room:
                self._had_room = self._counted
            elif self._counted - self._had_room > WAIT:
                raise ClusterError(
                    f"{on_ray()}: no node of the cluster has had room for a trial for {WAIT:g} seconds. What is "
                    f"finished is kept; when there are nodes again, the same command with {option('out')} continues "
                    "from there."
                )
        # One task waits even where there is no room, so that a cluster that grows with demand grows.
        return max(1, self._room)

    def _listen(self, hear: Hear) -> None:
        """Handles the messages of tasks; tells tasks that were given up to stop."""
        known = {(r.task.key, r.attempt) for r in self._running.values()}
        answers = {}
        for number, key, attempt, kind, value in self.ray.get(self._listening):
            answers[number] = (key, attempt) in known
            if kind == "began" and answers[number]:
                self._began[key] = time.monotonic(), value
            elif answers[number]:
                answers[number] = hear(key, value)
        self._mailbox.reply.remote(answers)
        self._listening = self._mailbox.listen.remote()

    def _overdue(self) -> Iterator[Outcome]:
        """Cancels tasks that have taken too long."""
        limit = self.limit or math.inf
        for ref, running in list(self._running.items()):
            key = running.task.key
            seconds = time.monotonic() - self._began[key][0] if key in self._began else 0.0
            if seconds > limit:
                self._cancel(ref)
                del self._running[ref], self._began[key]
                yield Outcome(key, None, f"took longer than {limit:g} seconds", seconds, running.attempt)

    def _outcome(self, ref: Any, ended: _Running) -> tuple[Outcome, int]:
        """How a task ended, and how many nodes it has lost so far."""
        key, now = ended.task.key, time.monotonic()
        began, node = self._began.pop(key, (now, "a node"))
        errors = self.ray.exceptions

        def died(reason: str) -> Outcome:
            return Outcome(key, None, reason, now - began, ended.attempt, died=True)

        try:
            kind, content, seconds = self.ray.get(ref)
        except errors.NodeDiedError:
            return died(f"its node, {node}, went away"), ended.lost + 1
        except errors.OutOfMemoryError:
            return died(f"its process was ended for lack of memory on {node}"), ended.lost
        except errors.RayTaskError as failure:  # it could not even start
            raise RequestError(f"{on_ray()}: a node cannot run trials: {failure.cause or failure}") from None
        except errors.RayError as failure:
            return died(f"its process on {node} ended: {_short(failure)}"), ended.lost
        if kind == "refused":
            raise RequestError(content)
        value, reason = (content, None) if kind == "done" else (None, content)
        return Outcome(key, value, reason, seconds, ended.attempt), ended.lost

    def _cancel(self, ref: Any) -> None:
        with contextlib.suppress(self.ray.exceptions.RayError, ValueError):
            self.ray.cancel(ref, force=True)


def _short(failure: Exception) -> str:
    return " ".join(str(failure).split())[:200] or type(failure).__name__
