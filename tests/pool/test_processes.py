"""What the pool of processes does besides the contract of all pools, which is in ``tests/cluster/test_pools.py``."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conviction.pool import processes as pool
from conviction.pool.processes import Outcome, Pool, Task
from tests.patience import PATIENCE

FAULTS = "tests.pool.faults"


def task(key: str, name: str, **payload: Any) -> Task:
    return Task(key, f"{FAULTS}:{name}", payload)


def run(tasks: list[Task], jobs: int = 2, **how: Any) -> dict[str, Outcome]:
    with Pool(jobs, **how) as workers:
        return {outcome.key: outcome for outcome in workers.run(iter(tasks))}


@pytest.mark.parametrize(
    ("name", "reason", "attempts"),
    [
        ("exits", "its process ended with exit code 3", 2),
        ("crashes", "its process was ended by SIGSEGV", 2),
        ("allocates", "GB of memory, more than 0.6", 2),
    ],
)
def test_a_death_says_what_it_was(name: str, reason: str, attempts: int) -> None:
    good = [task(str(i), "double", n=i) for i in range(6)]
    found = run([*good[:3], task("bad", name), *good[3:]], memory=600_000_000)
    assert found["bad"].value is None
    assert reason in (found["bad"].failure or "")
    assert found["bad"].attempts == attempts
    assert [found[str(i)].value["value"] for i in range(6)] == [0, 2, 4, 6, 8, 10]


def test_a_worker_that_has_grown_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GROWTH", 150_000_000)
    found = run([task(str(i), "grows", bytes=100_000_000) for i in range(8)], jobs=1)
    assert 2 <= len({o.value for o in found.values()}) < 8
    assert all(o.failure is None for o in found.values())


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from conviction.pool.processes import Pool, Task\n"
        "if __name__ == '__main__':\n"
        "    def hear(key, process):\n"
        "        print(process, flush=True)\n"
        "        return True\n"
        f"    task = Task('a', '{FAULTS}:says_its_number_and_waits', {{'go': {str(tmp_path / 'never')!r}}})\n"
        "    with Pool(1) as pool:\n"
        "        list(pool.run(iter([task]), hear))\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    root = Path(__file__).parent.parent.parent
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None
    # Becomes readable when that process has ended.
    handle = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    ready, _, _ = select.select([handle], [], [], PATIENCE)
    os.close(handle)
    assert ready, "the worker is still there"
