"""Trainings, explorations, exports and evaluations as processes of their own, in a queue that is fair between owners.

Everything that is known about a job is kept in a folder of its own, so that a restarted server knows it too: a job that
still runs is recognised by its process number and start time, one that has ended by what it wrote.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conviction.errors import ConvictionError, RequestError
from conviction.runs import folder
from conviction.web.jobs import processes
from conviction.web.jobs.records import EndRequest, Job, Kind, Records

# An interrupted training writes model, checkpoint and report; what takes longer than this hangs.
PATIENCE_SECONDS = 120.0
# Of the jobs that have ended, this many are kept, newest first.
MOST_ENDED = 200
PROGRAM = (sys.executable, "-m", "conviction")


@dataclass(frozen=True)
class Bounds:
    """What one owner may ask for: how many jobs may wait, and how many seconds each may run; None for no limit."""

    waiting: int | None = None
    seconds: float | None = None


class Jobs:
    """All jobs below a folder. One process at a time may have it; ``open_jobs`` sees to that.

    Args:
        root: The folder of jobs, which exists.
        most: How many run at once.
        program: What receives the arguments of a job.

    Attributes:
        records: What is on disk about each job.
        bounds: The limits of every owner, for jobs that are submitted from now on.
        options: Arguments that every command gets besides its own.
    """

    def __init__(self, root: Path, most: int = 1, program: Sequence[str] = PROGRAM) -> None:
        self.records = Records(root)
        self._most = most
        self._program = program
        self.bounds = Bounds()
        self.options: tuple[str, ...] = ()
        self._jobs: dict[str, Job] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def read(self) -> None:
        """Reads the jobs that are on disk."""
        self._jobs |= {job.id: job for job in self.records.read()}
        self._prune()

    def _prune(self) -> None:
        """Forgets the oldest of those that have ended, but for the last one at each folder that is still there."""
        ended = sorted((j for j in self._jobs.values() if not j.alive), key=lambda j: j.id, reverse=True)
        for job in ended[MOST_ENDED:]:
            if self.last_at(Path(job.folder)) is not job or not Path(job.folder).is_dir():
                del self._jobs[job.id]
                self.records.forget(job)

    def submit(self, owner: str, kind: Kind, argv: Sequence[str], target: Path, title: str) -> Job:
        """Adds a job to the queue, within ``bounds``.

        Args:
            owner: Whose it is.
            kind: The command, which ``argv`` begins with.
            argv: All arguments after ``conviction``.
            target: The run or study that it works on; two jobs do not work on one at the same time.
            title: For people.

        Raises:
            RequestError: There is a job at this folder already, or too many of this owner wait.
        """
        waiting = sum(j.state == "waiting" for j in self._jobs.values() if j.owner == owner)
        if self.bounds.waiting is not None and waiting >= self.bounds.waiting:
            raise RequestError(
                f"{waiting} of your jobs are already waiting; at most {self.bounds.waiting} may wait. Let one run "
                "first."
            )
        if self.at(target) is not None:
            raise RequestError(
                f"{target.name}: something is already working there. Wait until it is done, or stop it."
            )
        job = Job(
            id=f"{time.time_ns():x}-{secrets.token_hex(3)}",
            owner=owner,
            kind=kind,
            argv=(*argv, *(o for o in self.options if o not in argv)),
            folder=str(target),
            title=title,
            seconds=self.bounds.seconds,
            created=time.time(),
        )
        self.records.add(job)
        return self._keep(job)

    def of(self, owner: str) -> list[Job]:
        """The jobs of an owner, newest first."""
        return sorted((j for j in self._jobs.values() if j.owner == owner), key=lambda j: j.id, reverse=True)

    def at(self, target: Path) -> Job | None:
        """The job that waits or runs at a folder."""
        return next((j for j in self._jobs.values() if j.alive and j.folder == str(target)), None)

    def last_at(self, target: Path) -> Job | None:
        """The newest job at a folder, whatever its state."""
        return max(
            (j for j in self._jobs.values() if j.folder == str(target)), key=lambda j: j.id, default=None
        )

    def move(self, before: Path, after: Path) -> None:
        """What worked on a folder that has been renamed has worked on it by its new name.

        Raises:
            OutputError, StorageError: As ``Records.keep``.
        """
        for job in [j for j in self._jobs.values() if j.folder == str(before)]:
            self._keep(replace(job, folder=str(after)))

    def forget(self, target: Path) -> None:
        """Forgets the jobs that have ended at a folder that is no longer there."""
        for job in [j for j in self._jobs.values() if j.folder == str(target) and not j.alive]:
            del self._jobs[job.id]
            self.records.forget(job)

    def get(self, owner: str, name: str) -> Job:
        """A job of this owner.

        Raises:
            RequestError: There is none of this name, or it is somebody else's.
        """
        job = self._jobs.get(name)
        if job is None or job.owner != owner:
            raise RequestError(f"There is no job '{name}'.")
        return job

    def ahead(self, job: Job) -> int:
        """How many jobs start before this one, as the queue is now."""
        return (
            next((i for i, j in enumerate(waiting_order(self._jobs.values())) if j.id == job.id), 0)
            + self._running()
        )

    def end(self, owner: str, name: str, request: EndRequest) -> Job:
        """Asks a job to end; what it has is kept. One that waits ends at once, one that has ended stays as it is.

        Raises:
            RequestError: As ``get``.
        """
        job = self.get(owner, name)
        if job.state == "waiting":
            return self._keep(replace(job, state=request or "stopped", ended=time.time()))
        if job.state != "running" or job.pid is None:
            return job
        processes.interrupt(job.pid, job.born)
        return self._keep(replace(job, wish=request, asked=job.asked or time.time()))

    def tick(self) -> bool:
        """Notices what has ended, and starts what may start; called about once a second.

        Returns:
            Whether anything has changed.
        """
        changed = False
        self.records.keep_late()
        for job in [j for j in self._jobs.values() if j.state == "running"]:
            changed |= self._look_at(job)
        while self._running() < self._most and (waiting := waiting_order(self._jobs.values())):
            self._start(waiting[0])
            changed = True
        return changed

    def _running(self) -> int:
        return sum(j.state == "running" for j in self._jobs.values())

    def _start(self, job: Job) -> None:
        now = replace(job, state="running", started=time.time())
        process = None
        try:
            # Before there is a process: one that the record does not know could not be stopped.
            self._keep(now)
            process = self.records.start(job, self._program)
            self._keep(replace(now, pid=process.pid, born=processes.birth(process.pid)))
        except (ConvictionError, OSError) as failure:
            if process is not None:
                process.kill()
                process.wait()
            reason = f"It could not be started: {failure}"
            self._keep(replace(now, state="failed", reason=reason, ended=time.time()))
            return
        self._children[job.id] = process

    def _look_at(self, job: Job) -> bool:
        child = self._children.get(job.id)
        code = child.poll() if child is not None else None
        orphan = child is None and job.pid is not None and processes.is_alive(job.pid, job.born)
        if orphan or (child is not None and code is None):
            self._hurry(job)
            return False
        self._children.pop(job.id, None)
        self._keep(self.records.ended(job, code, time.time()))
        self._prune()
        return True

    def _hurry(self, job: Job) -> None:
        """Interrupts a job whose time is up, and kills one that was interrupted but does not end."""
        assert job.pid is not None
        now = time.time()
        if job.asked is not None and now - job.asked > PATIENCE_SECONDS:
            processes.kill(job.pid, job.born)
        elif job.asked is None and job.seconds is not None and now - (job.started or now) > job.seconds:
            processes.interrupt(job.pid, job.born)
            reason = f"It ran for the {job.seconds / 60:g} minutes that the course allows."
            self._keep(replace(job, wish="stopped", asked=now, reason=reason))

    def _keep(self, job: Job) -> Job:
        """Writes the job, then shows it.

        Raises:
            OutputError, StorageError: As ``Records.keep``.
        """
        self.records.keep(job)
        self._jobs[job.id] = job
        return job


def waiting_order(jobs: Iterable[Job]) -> list[Job]:
    """The jobs that wait, in the order in which they will start: owners take turns, and each owner's first job comes
    first.

    The longer ago an owner's last job was started, the sooner their turn comes.
    """
    last: dict[str, float] = {}
    queues: dict[str, list[Job]] = {}
    for job in sorted(jobs, key=lambda j: j.id):
        if job.started is not None:
            last[job.owner] = max(job.started, last.get(job.owner, 0.0))
        if job.state == "waiting":
            queues.setdefault(job.owner, []).append(job)
    owners = sorted(queues, key=lambda o: (last.get(o, 0.0), queues[o][0].id))
    turns = max(map(len, queues.values()), default=0)
    return [queues[o][turn] for turn in range(turns) for o in owners if turn < len(queues[o])]


@contextlib.contextmanager
def open_jobs(root: Path, most: int = 1, program: Sequence[str] = PROGRAM) -> Iterator[Jobs]:
    """The jobs below ``root``, for this process alone; running jobs continue when it ends.

    Raises:
        RunError: Another server has them.
        OutputError, StorageError: The folder cannot be made.
    """
    with folder.storing(root):
        root.mkdir(parents=True, exist_ok=True)
    with folder.claimed(root):
        jobs = Jobs(root, most, program)
        jobs.read()
        yield jobs
