"""Trainings, explorations, exports and evaluations as processes of their own, in a queue that is fair between owners.

Everything that is known about a job is kept in a folder of its own, so that a restarted server knows it too: a job that
still runs is recognised by its process number and start time, one that has ended by what it wrote.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from conviction.errors import ConvictionError, OutputError, RequestError, StorageError
from conviction.runs import folder
from conviction.web.jobs import processes

Kind = Literal["fit", "resume", "explore", "export", "evaluate"]
# Both end in the same way. Trainings are paused, because they can go on; what cannot is stopped.
State = Literal["waiting", "running", "done", "failed", "paused", "stopped"]
EndRequest = Literal["", "paused", "stopped"]

RECORD, OUT, ERR = "job.json", "stdout", "stderr"
# An interrupted training writes model, checkpoint and report; what takes longer than this hangs.
PATIENCE_SECONDS = 120.0
INTERRUPTED = (130, 143)
# How the system reports a process that was interrupted in its first second, before it handled signals.
UNHEARD = (-signal.SIGINT, -signal.SIGTERM)
# Of the jobs that have ended, this many are kept, newest first.
MOST_ENDED = 200
PROGRAM = (sys.executable, "-m", "conviction")


@dataclass(frozen=True)
class Job:
    """What is known about a job. A change makes a new object, on disk before anyone sees it, except at its end.

    Attributes:
        id: Its name, and that of its folder.
        owner: Whose it is; "" on one's own machine.
        kind: The command.
        argv: All arguments after ``conviction``.
        folder: The run or study that it works on.
        title: For people.
        seconds: How long it may run; None for any time.
        state: Its state.
        wish: How a running one was asked to end.
        created: Seconds since the epoch.
        started: When its process began.
        ended: When its end was noticed.
        pid: Of its process.
        born: See ``processes.birth``.
        asked: When it was asked to end.
        code: Its exit code, where it is known.
        reason: Why it failed, in a sentence.
    """

    id: str
    owner: str
    kind: Kind
    argv: tuple[str, ...]
    folder: str
    title: str
    seconds: float | None = None
    state: State = "waiting"
    wish: EndRequest = ""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    pid: int | None = None
    born: str | None = None
    asked: float | None = None
    code: int | None = None
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")


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
        bounds: The limits of every owner, for jobs that are submitted from now on.
        options: Arguments that every command gets besides its own.
    """

    def __init__(self, root: Path, most: int = 1, program: Sequence[str] = PROGRAM) -> None:
        self._root = root
        self._most = most
        self._program = program
        self.bounds = Bounds()
        self.options: tuple[str, ...] = ()
        self._jobs: dict[str, Job] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # Ends that could not be written yet.
        self._unwritten: set[str] = set()

    def read(self) -> None:
        """Reads the jobs that are on disk."""
        for record in sorted(self._root.glob(f"*/{RECORD}")):
            # A file that a killed server had only begun to write is not a record.
            with contextlib.suppress(OSError, ValueError, TypeError):
                values = json.loads(record.read_text(encoding="utf-8"))
                job = Job(**{**values, "argv": tuple(values["argv"])})
                self._jobs[job.id] = job
        self._prune()

    def _prune(self) -> None:
        """Forgets the oldest of those that have ended, but for the last one at each folder that is still there."""
        ended = sorted((j for j in self._jobs.values() if not j.alive), key=lambda j: j.id, reverse=True)
        for job in ended[MOST_ENDED:]:
            if self.last_at(Path(job.folder)) is not job or not Path(job.folder).is_dir():
                del self._jobs[job.id]
                shutil.rmtree(self._root / job.id, ignore_errors=True)

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
                f"{waiting} of your jobs are waiting already; at most {self.bounds.waiting} may. Let one run first."
            )
        if self.at(target) is not None:
            raise RequestError(
                f"{target.name}: something is at work there already. Wait until it is done, or stop it."
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
        job_folder = self._root / job.id
        with folder.storing(job_folder):
            job_folder.mkdir(parents=True)
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
        """How many jobs begin before this one, as the queue is now."""
        return next((i for i, j in enumerate(self._order()) if j.id == job.id), 0) + self._running()

    def output_tail(self, job: Job, stream: str = ERR, most: int = 20_000) -> str:
        """The end of what a job has written."""
        try:
            with (self._root / job.id / stream).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - most))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def answer(self, job: Job) -> dict[str, Any]:
        """The JSON object that a finished job has written; empty if there is none."""
        try:
            text = (self._root / job.id / OUT).read_text(encoding="utf-8")
            content = json.loads(text.strip().splitlines()[-1])
        except (OSError, ValueError, IndexError):
            return {}
        return content if isinstance(content, dict) else {}

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
        for name in sorted(self._unwritten & self._jobs.keys()):
            self._keep(self._jobs[name])
        for job in [j for j in self._jobs.values() if j.state == "running"]:
            changed |= self._look_at(job)
        while self._running() < self._most and (waiting := self._order()):
            self._start(waiting[0])
            changed = True
        return changed

    def _running(self) -> int:
        return sum(j.state == "running" for j in self._jobs.values())

    def _order(self) -> list[Job]:
        """Who waits, in the order in which they will begin: in turn between owners, each owner's first one first.

        The longer ago an owner's last job was started, the sooner their turn comes.
        """
        last: dict[str, float] = {}
        queues: dict[str, list[Job]] = {}
        for job in sorted(self._jobs.values(), key=lambda j: j.id):
            if job.started is not None:
                last[job.owner] = max(job.started, last.get(job.owner, 0.0))
            if job.state == "waiting":
                queues.setdefault(job.owner, []).append(job)
        owners = sorted(queues, key=lambda o: (last.get(o, 0.0), queues[o][0].id))
        turns = max(map(len, queues.values()), default=0)
        return [queues[o][turn] for turn in range(turns) for o in owners if turn < len(queues[o])]

    def _start(self, job: Job) -> None:
        job_folder = self._root / job.id
        now = replace(job, state="running", started=time.time())
        process = None
        try:
            # Before there is a process: one that the record does not know could not be stopped.
            self._keep(now)
            process = processes.start([*self._program, *job.argv], job_folder / OUT, job_folder / ERR)
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
        self._keep(self._ended(job, code))
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
            reason = f"It had run for the {job.seconds / 60:g} minutes that the course allows."
            self._keep(replace(job, wish="stopped", asked=now, reason=reason))

    def _ended(self, job: Job, code: int | None) -> Job:
        """How it ended: by its exit code where it is our child, and by what it wrote in any case."""
        answer = self.answer(job)
        error = answer.get("error") if isinstance(answer.get("error"), dict) else None
        if code is None and answer:
            code = int(error["exit_code"]) if error else 0
        now = replace(job, ended=time.time(), code=code)
        if code == 0:
            return replace(now, state="done")
        if code in INTERRUPTED or (job.wish and code in UNHEARD):
            return replace(now, state=job.wish or "stopped")
        if error:
            return replace(now, state="failed", reason=str(error["message"]))
        return replace(now, state="failed", reason=self._why(job, code))

    def _why(self, job: Job, code: int | None) -> str:
        if code is not None and code < 0:
            return f"The process was killed (signal {-code}); the machine may have run out of memory."
        if code is None:
            return "The process ended without an answer: it was killed, or the machine was restarted."
        last = (self.output_tail(job).strip().splitlines() or [""])[-1]
        return f"It ended with exit code {code}. {last}".strip()

    def _keep(self, job: Job) -> Job:
        """Writes the job. That it has ended is true even if the disk is full; it is written once there is room.

        Raises:
            OutputError, StorageError: It could not be written, and has not ended.
        """
        try:
            folder.write_json(self._root / job.id / RECORD, asdict(job))
            self._unwritten.discard(job.id)
        except (OutputError, StorageError):
            if job.alive:
                raise
            self._unwritten.add(job.id)
        self._jobs[job.id] = job
        return job


@contextlib.contextmanager
def open_jobs(root: Path, most: int = 1, program: Sequence[str] = PROGRAM) -> Iterator[Jobs]:
    """The jobs below ``root``, for this process alone; those that run go on running when it ends.

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
