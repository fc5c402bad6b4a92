"""The contract of all pools: a task that fails takes nothing with it, and every task ends."""

from __future__ import annotations

import hashlib
import itertools
import os
import select
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conviction.cluster.connection import connected
from conviction.config import DataSpec
from conviction.data import audit_images, load_source
from conviction.pool import processes, ray_tasks
from conviction.pool.executors import Local, OnRay
from conviction.pool.processes import Outcome, Pool, Task
from conviction.pool.ray_tasks import NodeShare, RayPool
from tests.patience import PATIENCE

FAULTS = "tests.pool.faults"
MakePool = Callable[..., Any]


def task(key: str, name: str, **payload: Any) -> Task:
    return Task(key, f"{FAULTS}:{name}", payload)


@pytest.fixture(scope="module")
def ray(cluster: Any) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        with connected() as ray:
            yield ray


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.full)])
def pool_of(request: pytest.FixtureRequest) -> MakePool:
    if request.param == "local":
        return lambda jobs, limit=None: Pool(jobs, limit)
    connection = request.getfixturevalue("ray")
    return lambda jobs, limit=None: RayPool(connection, jobs, limit)


def run(pool: Any, tasks: list[Task]) -> dict[str, Outcome]:
    with pool as workers:
        outcomes = list(workers.run(iter(tasks)))
    assert len(outcomes) == len({o.key for o in outcomes}), "an outcome came twice"
    return {o.key: o for o in outcomes}


def test_workers_are_reused_and_all_tasks_are_done(pool_of: MakePool) -> None:
    found = run(pool_of(2), [task(str(i), "double", n=i) for i in range(20)])
    assert {key: o.value["value"] for key, o in found.items()} == {str(i): 2 * i for i in range(20)}
    processes = {o.value["process"] for o in found.values()}
    assert len(processes) <= 3  # the cluster of the tests has three nodes of one CPU
    assert os.getpid() not in processes


@pytest.mark.parametrize(
    ("name", "reason", "attempts"),
    [
        ("raises", "ValueError: the planted reason", 1),
        ("ends_early", "EOFError: the planted end", 1),
        ("exits", "its process", 2),
        ("crashes", "its process", 2),
    ],
)
def test_a_fault_fails_alone_and_says_why(pool_of: MakePool, name: str, reason: str, attempts: int) -> None:
    good = [task(str(i), "double", n=i) for i in range(6)]
    outcomes = run(pool_of(2), [*good[:3], task("bad", name), *good[3:]])
    assert outcomes["bad"].value is None
    assert reason in (outcomes["bad"].failure or "")
    assert outcomes["bad"].attempts == attempts
    assert outcomes["bad"].died == (attempts == 2)
    assert [outcomes[str(i)].value["value"] for i in range(6)] == [0, 2, 4, 6, 8, 10]


def test_a_task_that_takes_too_long_fails_alone(pool_of: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's own: it stands until the others are done, however long they take, and then runs.

    It must not jump once: a task's first report may arrive before the message that it has begun.
    """
    good = [task(str(i), "double", n=i) for i in range(6)]
    outcomes: dict[str, Outcome] = {}
    began = []
    looks = itertools.count()

    def clock() -> float:
        return next(looks) if began and len(outcomes) == len(good) else 0.0

    def hear(key: str, value: Any) -> bool:
        began.append(key)
        return True

    for module in (processes, ray_tasks):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    with pool_of(2, 3) as workers:
        for outcome in workers.run(iter([*good[:3], task("bad", "hangs"), *good[3:]]), hear):
            outcomes[outcome.key] = outcome
    assert outcomes["bad"].value is None
    assert outcomes["bad"].failure == "took longer than 3 seconds"
    assert outcomes["bad"].attempts == 1
    assert not outcomes["bad"].died
    assert [outcomes[str(i)].value["value"] for i in range(6)] == [0, 2, 4, 6, 8, 10]


def test_a_death_is_tried_again_once(pool_of: MakePool, tmp_path: Path) -> None:
    found = run(pool_of(2), [task("a", "dies_once", mark=str(tmp_path / "mark"))])
    assert found["a"].value == "alive"
    assert found["a"].attempts == 2


def test_what_is_reported_is_heard_and_can_end_a_task(pool_of: MakePool) -> None:
    heard: list[tuple[str, int]] = []

    def hear(key: str, value: int) -> bool:
        heard.append((key, value))
        return not (key == "short" and value == 2)

    with pool_of(2) as workers:
        tasks = iter([task("long", "tells", n=5), task("short", "tells", n=5)])
        found = {o.key: o.value for o in workers.run(tasks, hear)}
    assert found == {"long": [True] * 5, "short": [True, True, False]}
    assert sorted(heard) == [*(("long", i) for i in range(5)), *(("short", i) for i in range(3))]


def test_tasks_are_taken_only_when_there_is_a_worker(pool_of: MakePool) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[Task]:
        for i in range(6):
            taken.append(i)
            yield task(str(i), "double", n=i)

    with pool_of(2) as workers:
        for ended, _ in enumerate(workers.run(tasks()), 1):
            assert len(taken) <= ended + 2


def test_workers_killed_at_random_leave_no_task_without_an_end(pool_of: MakePool, tmp_path: Path) -> None:
    """Each is killed as soon as it says its number, by a coin; two deaths are the end of a task."""
    chance = np.random.default_rng(0)
    go = tmp_path / "go"
    go.touch()

    def hear(key: str, process: int) -> bool:
        if chance.random() < 0.5:
            os.kill(process, signal.SIGKILL)
        return True

    tasks = [task(str(i), "says_its_number_and_waits", go=str(go)) for i in range(30)]
    with pool_of(3) as workers:
        outcomes = list(workers.run(iter(tasks), hear))
    found = {o.key: o for o in outcomes}
    assert set(found) == {str(i) for i in range(30)}
    assert len(outcomes) == 30
    failed = [o for o in found.values() if o.failure]
    assert all("its process" in (o.failure or "") and o.attempts == 2 for o in failed)
    assert 1 <= len(failed) < 30


def test_a_pool_that_is_left_ends_what_runs(pool_of: MakePool, tmp_path: Path) -> None:
    """As Ctrl-C leaves it."""
    handles: list[int] = []

    def hear(key: str, process: int) -> bool:
        handles.append(os.pidfd_open(process))
        raise KeyboardInterrupt

    waiting = task("a", "says_its_number_and_waits", go=str(tmp_path / "never"))
    workers = pool_of(1)
    with pytest.raises(KeyboardInterrupt), workers:
        list(workers.run(iter([waiting]), hear))
    assert ended(handles[0])


def ended(handle: int) -> bool:
    """Whether that process ends within a minute."""
    ready, _, _ = select.select([handle], [], [], PATIENCE)
    os.close(handle)
    return bool(ready)


@pytest.mark.full
def test_images_are_read_where_they_lie(ray: Any, tmp_path: Path) -> None:
    """Mapped from a file on this machine, as the cache has them, and then from the object store."""
    images = load_source("digits")
    pixels = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=images.pixels.shape)
    pixels[:] = images.pixels
    images = replace(images, pixels=pixels)
    audit = audit_images(images, DataSpec())
    found = {}
    for name, executor in (("local", Local(1)), ("ray", OnRay(ray, 1))):
        with executor.begun(images, audit, tmp_path, 1) as (workers, data):
            (outcome,) = workers.run(iter([task("a", "where_pixels_lie", data=data)]))
        assert outcome.failure is None
        found[name] = outcome.value
    assert found["local"]["file"] == str(tmp_path / "pixels")
    assert "plasma" in found["ray"]["file"]
    assert {f["digest"] for f in found.values()} == {hashlib.sha256(pixels).hexdigest()}


@pytest.mark.parametrize(
    ("cpus", "gpus", "room"),
    [(1, 0, 7), (2, 0, 3), (0.5, 0, 14), (1, 1, 3), (1, 0.5, 6), (1, 0.4, 6), (1, 2, 1)],
)
def test_room_on_a_node_of_seven_cpus_and_three_gpus(cpus: float, gpus: float, room: int) -> None:
    assert NodeShare(cpus, gpus).fits({"CPU": 7, "GPU": 3}) == room
