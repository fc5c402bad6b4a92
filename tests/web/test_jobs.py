"""Jobs are processes of their own: real ones here, which are killed, paused, outlived and found again."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conviction.errors import OutputError, RequestError, RunError, StorageError
from conviction.runs import folder
from conviction.web.jobs import processes, queue
from conviction.web.jobs.queue import Bounds, Jobs, open_jobs
from conviction.web.jobs.records import RECORD, Job
from tests.patience import PATIENCE

# Behaves as the command line does: one JSON object at the end, and 130 after SIGINT.
PROGRAM = (
    sys.executable,
    "-c",
    """
import json, os, signal, sys
what = sys.argv[1]
if what == "wait":
    def stop(*_):
        print(json.dumps({"error": {"message": "Stopped by SIGINT.", "exit_code": 130}}), flush=True)
        os._exit(130)
    def stop_twice(*_):
        print(json.dumps({"error": {"message": "Stopped by SIGINT.", "exit_code": 130}}), flush=True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    handlers = {
        "unheard": signal.SIG_DFL,
        "starting": lambda *_: os._exit(1),
        "importing": stop_twice,
        "deaf": signal.SIG_IGN,
    }
    signal.signal(signal.SIGINT, handlers.get("".join(sys.argv[2:]), stop))
    print("ready", file=sys.stderr, flush=True)
    while True:
        signal.pause()
if what == "refuse":
    print(json.dumps({"error": {"message": "planted", "exit_code": 2}}))
    sys.exit(2)
if what == "crash":
    raise ZeroDivisionError("planted")
print(json.dumps({"answer": sys.argv[2:]}))
""",
)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    (tmp_path / "jobs").mkdir()
    made = Jobs(tmp_path / "jobs", 1, PROGRAM)
    yield made
    end_children(made)


def end_children(jobs: Jobs) -> None:
    for child in jobs._children.values():
        child.kill()
        child.wait()


def until(true: Callable[[], bool], jobs: Jobs | None = None) -> None:
    """Looks again and again, as the server's clock does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if jobs is not None:
            jobs.tick()
        if true():
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def submit(jobs: Jobs, what: str, name: str = "run", owner: str = "") -> Job:
    return jobs.submit(owner, "fit", [what, name], Path("/nowhere", owner, name), name)


def running(jobs: Jobs, name: str = "run", owner: str = "") -> Job:
    """A job that runs and would stop at SIGINT."""
    job = submit(jobs, "wait", name, owner)
    until(lambda: "ready" in jobs.records.output_tail(job), jobs)
    return jobs.get(owner, job.id)


def state(jobs: Jobs, job: Job) -> str:
    return jobs.get(job.owner, job.id).state


def test_what_ends_well_is_done_and_has_its_answer(jobs: Jobs) -> None:
    job = submit(jobs, "work")
    assert job.state == "waiting"
    until(lambda: state(jobs, job) == "done", jobs)
    assert jobs.records.answer(job) == {"answer": ["run"]}
    assert jobs.get("", job.id).code == 0


def test_what_fails_says_why(jobs: Jobs) -> None:
    refused = submit(jobs, "refuse", "a")
    until(lambda: state(jobs, refused) == "failed", jobs)
    assert jobs.get("", refused.id).reason == "planted"
    crashed = submit(jobs, "crash", "b")
    until(lambda: state(jobs, crashed) == "failed", jobs)
    assert jobs.get("", crashed.id).reason == "It ended with exit code 1. ZeroDivisionError: planted"


def test_a_killed_worker_has_failed_with_its_reason(jobs: Jobs) -> None:
    job = running(jobs)
    assert job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    until(lambda: state(jobs, job) == "failed", jobs)
    assert "killed (signal 9)" in jobs.get("", job.id).reason


@pytest.mark.parametrize("wish", ["paused", "stopped"])
def test_a_running_job_ends_as_it_was_asked_to(jobs: Jobs, wish: str) -> None:
    job = running(jobs)
    jobs.end("", job.id, wish)  # type: ignore[arg-type]
    until(lambda: state(jobs, job) == wish, jobs)
    jobs.end("", job.id, "stopped")
    assert state(jobs, job) == wish


@pytest.mark.parametrize("when", ["unheard", "starting", "importing", "deaf"])
def test_one_that_is_asked_before_it_listens_ends_as_it_was_asked_to(
    jobs: Jobs, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if when == "deaf":
        monkeypatch.setattr(queue, "PATIENCE_SECONDS", 0.0)
    job = submit(jobs, "wait", when)
    jobs.tick()
    until(lambda: "ready" in jobs.records.output_tail(job))
    jobs.end("", job.id, "paused")
    until(lambda: state(jobs, job) == "paused", jobs)


def test_a_waiting_job_ends_at_once(jobs: Jobs) -> None:
    running(jobs)
    second = submit(jobs, "work", "second")
    jobs.tick()
    assert jobs.end("", second.id, "stopped").state == "stopped"


def test_the_queue_goes_in_turn_between_owners(jobs: Jobs) -> None:
    first = running(jobs, "a0", "ann")
    wanted = [submit(jobs, "work", f"a{i}", "ann") for i in (1, 2, 3)]
    wanted += [submit(jobs, "work", f"b{i}", "bob") for i in (1, 2)]
    assert [jobs.ahead(j) for j in wanted] == [2, 4, 5, 1, 3]
    jobs.end("ann", first.id, "stopped")
    until(lambda: all(state(jobs, j) == "done" for j in wanted), jobs)
    began = sorted(wanted, key=lambda j: jobs.get(j.owner, j.id).started or 0.0)
    assert [Path(j.folder).name for j in began] == ["b1", "a1", "b2", "a2", "a3"]


def test_never_more_run_at_once_than_allowed(jobs: Jobs) -> None:
    for i in range(4):
        submit(jobs, "wait", str(i))
    two = Jobs(jobs.records.root, 2, PROGRAM)
    two.read()
    two.tick()
    assert sum(j.state == "running" for j in two.of("")) == 2
    end_children(two)


def test_a_restarted_server_finds_what_runs_and_notices_how_it_ended(jobs: Jobs) -> None:
    job = running(jobs)
    again = Jobs(jobs.records.root, 1, PROGRAM)
    again.read()
    again.tick()
    assert state(again, job) == "running"
    again.end("", job.id, "paused")
    until(lambda: state(again, job) == "paused", again)


def test_a_restarted_server_notices_what_was_killed_meanwhile(jobs: Jobs) -> None:
    job = running(jobs)
    assert job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    until(lambda: not processes.is_alive(job.pid or 0, job.born))
    again = Jobs(jobs.records.root, 1, PROGRAM)
    again.read()
    again.tick()
    assert again.get("", job.id).state == "failed"
    assert "ended without an answer" in again.get("", job.id).reason


def test_another_process_of_the_same_number_is_left_alone(jobs: Jobs) -> None:
    job = running(jobs)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as other:
        record = jobs.records.root / job.id / RECORD
        values = json.loads(record.read_text())
        record.write_text(json.dumps({**values, "pid": other.pid}))
        again = Jobs(jobs.records.root, 1, PROGRAM)
        again.read()
        again.end("", job.id, "stopped")
        again.tick()
        assert again.get("", job.id).state == "failed"
        assert other.poll() is None
        other.communicate()
    assert other.returncode == 0


def test_a_job_outlives_its_server(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from conviction.web.jobs.queue import open_jobs\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "with open_jobs(root, 1, sys.argv[2:]) as jobs:\n"
        "    job = jobs.submit('', 'fit', ['wait'], root / 'x', 'x')\n"
        "    jobs.tick()\n"
        "    while 'ready' not in jobs.records.output_tail(job): time.sleep(0.01)\n"
        "    print(job.id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *PROGRAM], capture_output=True, text=True, check=True
    )
    with open_jobs(tmp_path, 1, PROGRAM) as jobs:
        name = done.stdout.strip()
        assert jobs.get("", name).state == "running"
        with pytest.raises(RunError, match="another process"), open_jobs(tmp_path):
            pass
        jobs.end("", name, "stopped")
        until(lambda: jobs.get("", name).state == "stopped", jobs)


def test_one_folder_has_one_job_and_one_owner(jobs: Jobs) -> None:
    job = submit(jobs, "work", "run", "ann")
    with pytest.raises(RequestError, match="already working there"):
        submit(jobs, "work", "run", "ann")
    with pytest.raises(RequestError, match="no job"):
        jobs.get("bob", job.id)
    with pytest.raises(RequestError, match="no job"):
        jobs.end("bob", job.id, "stopped")
    assert jobs.of("bob") == []


def test_every_command_gets_the_options_of_the_queue_once(jobs: Jobs) -> None:
    jobs.options = ("--data-dir", "/data")
    first = submit(jobs, "work", "a")
    assert first.argv == ("work", "a", "--data-dir", "/data")
    assert jobs.submit("", "fit", first.argv, Path("/nowhere/b"), "b").argv == first.argv


def test_a_course_bounds_what_waits_and_how_long_it_runs(jobs: Jobs) -> None:
    jobs.bounds = Bounds(waiting=1, seconds=2.0)
    job = running(jobs)
    submit(jobs, "work", "second")
    with pytest.raises(RequestError, match="at most 1 may"):
        submit(jobs, "work", "third")
    until(lambda: state(jobs, job) == "stopped", jobs)
    assert "minutes that the course allows" in jobs.get("", job.id).reason


def test_a_record_that_cannot_be_read_is_passed_over(jobs: Jobs) -> None:
    job = submit(jobs, "work")
    (jobs.records.root / "damaged").mkdir()
    (jobs.records.root / "damaged" / RECORD).write_text("{")
    again = Jobs(jobs.records.root, 1, PROGRAM)
    again.read()
    assert [j.id for j in again.of("")] == [job.id]


def test_the_oldest_of_those_that_have_ended_make_room(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conviction.web.jobs.queue.MOST_ENDED", 2)
    (tmp_path / "kept").mkdir()
    first = jobs.submit("", "fit", ["answer"], tmp_path / "kept", "kept")
    made = [first, *(submit(jobs, "answer", f"run-{i}") for i in range(4)), submit(jobs, "wait", "last")]
    until(lambda: jobs.get("", made[-1].id).state == "running", jobs)
    left = {record.parent.name for record in tmp_path.glob(f"jobs/*/{RECORD}")}
    # The newest two, what still runs, and the last one at a folder that is still there.
    assert left == {made[i].id for i in (0, 3, 4, 5)}
    again = Jobs(tmp_path / "jobs")
    again.read()
    assert {job.id for job in again.of("")} == left


class Disk:
    """Writes nothing from the given call on, counted from 0, until it is ``mended``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
        self.left: float = first
        write = folder.write_json

        def refuse(path: Path, values: object) -> None:
            self.left -= 1
            if self.left < 0:
                raise StorageError(f"{path}: could not be written (planted).")
            write(path, values)

        monkeypatch.setattr(folder, "write_json", refuse)

    def mended(self) -> None:
        self.left = math.inf


@pytest.mark.parametrize("first", [0, 1])
def test_a_full_disk_starts_nothing_that_the_record_does_not_know(
    first: int, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    start = processes.start

    def count(*words: Any) -> Any:
        process = start(*words)
        started.append(process.pid)
        return process

    monkeypatch.setattr(processes, "start", count)
    job = submit(jobs, "wait")
    disk = Disk(monkeypatch, first)
    for _ in range(5):
        jobs.tick()
    found = jobs.get("", job.id)
    assert (found.state, len(started)) == ("failed", first)
    assert "could not be written (planted)" in found.reason
    assert all(processes.birth(pid) is None for pid in started)
    disk.mended()
    jobs.tick()
    assert reread(jobs).get("", job.id).state == "failed"


def test_an_end_on_a_full_disk_is_seen_and_written_later(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    job = running(jobs)
    jobs.end("", job.id, "paused")
    disk = Disk(monkeypatch, 0)
    until(lambda: jobs.get("", job.id).state == "paused", jobs)
    assert reread(jobs).get("", job.id).state == "running"
    disk.mended()
    jobs.tick()
    assert reread(jobs).get("", job.id).state == "paused"


def test_a_place_for_jobs_that_is_gone_is_made_again_or_said(tmp_path: Path, jobs: Jobs) -> None:
    shutil.rmtree(tmp_path / "jobs")
    assert submit(jobs, "answer").state == "waiting"
    shutil.rmtree(tmp_path / "jobs")
    (tmp_path / "jobs").write_text("no folder")
    with pytest.raises(OutputError, match="jobs is a file"):
        submit(jobs, "answer", "other")


def reread(jobs: Jobs) -> Jobs:
    """As a server that is started again would read them."""
    again = Jobs(jobs.records.root, 1, PROGRAM)
    again.read()
    return again
