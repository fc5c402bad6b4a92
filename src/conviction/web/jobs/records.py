"""What is known about each job, in a folder of its own: its record, and what its process has written."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from conviction.audience import JOURNAL
from conviction.errors import OutputError, StorageError
from conviction.runs import folder
from conviction.web.jobs import processes

Kind = Literal["fit", "resume", "explore", "export", "evaluate"]
# Both end in the same way. Trainings are paused, because they can continue; other jobs are stopped.
State = Literal["waiting", "running", "done", "failed", "paused", "stopped"]
EndRequest = Literal["", "paused", "stopped"]

RECORD, OUT, ERR, EVENTS = "job.json", "stdout", "stderr", "events"
INTERRUPTED = (130, 143)
# How a process ends that is asked to before it handles signals: by the signal, or with 1 while Python itself starts; or
# by the queue's own kill if it does not end.
UNHEARD = (1, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL)


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


class Records:
    """The folders of jobs below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Ends that could not be written yet.
        self._unwritten: dict[str, Job] = {}

    def read(self) -> Iterator[Job]:
        """The jobs that are on disk, oldest first."""
        for record in sorted(self.root.glob(f"*/{RECORD}")):
            # A file that a killed server had only started to write is not a record.
            with contextlib.suppress(OSError, ValueError, TypeError):
                values = json.loads(record.read_text(encoding="utf-8"))
                yield Job(**{**values, "argv": tuple(values["argv"])})

    def add(self, job: Job) -> None:
        """Makes the folder of a new job.

        Raises:
            OutputError, StorageError: It cannot be made.
        """
        job_folder = self.root / job.id
        with folder.storing(job_folder):
            job_folder.mkdir(parents=True)

    def keep(self, job: Job) -> None:
        """Writes the job. That it has ended is true even if the disk is full; it is written once there is room.

        Raises:
            OutputError, StorageError: It could not be written, and has not ended.
        """
        try:
            folder.write_json(self.root / job.id / RECORD, asdict(job))
            self._unwritten.pop(job.id, None)
        except (OutputError, StorageError):
            if job.alive:
                raise
            self._unwritten[job.id] = job

    def keep_late(self) -> None:
        """Writes the ends that could not be written before."""
        for job in list(self._unwritten.values()):
            self.keep(job)

    def forget(self, job: Job) -> None:
        """Removes all that is known about it."""
        self._unwritten.pop(job.id, None)
        shutil.rmtree(self.root / job.id, ignore_errors=True)

    def start(self, job: Job, program: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts its process, which writes into its folder.

        Raises:
            OSError: It cannot be started.
        """
        job_folder = self.root / job.id
        journal = {JOURNAL: str(job_folder / EVENTS)}
        return processes.start([*program, *job.argv], job_folder / OUT, job_folder / ERR, journal)

    def events(self, job: Job, start: int, most: int = 200_000) -> tuple[str, int]:
        """Whole lines of what a training has written down as it went, from a byte on, and where the next one starts."""
        try:
            with (self.root / job.id / EVENTS).open("rb") as file:
                file.seek(start)
                content = file.read(most)
        except OSError:
            return "", start
        whole = content[: content.rfind(b"\n") + 1]
        return whole.decode("utf-8", "replace"), start + len(whole)

    def output_tail(self, job: Job, stream: str = ERR, most: int = 20_000) -> str:
        """The end of what a job has written."""
        try:
            with (self.root / job.id / stream).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - most))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def answer(self, job: Job) -> dict[str, Any]:
        """The JSON object that a finished job has written; empty if there is none."""
        try:
            text = (self.root / job.id / OUT).read_text(encoding="utf-8")
            content = json.loads(text.strip().splitlines()[-1])
        except (OSError, ValueError, IndexError):
            return {}
        return content if isinstance(content, dict) else {}

    def ended(self, job: Job, code: int | None, now: float) -> Job:
        """How it ended: by what it wrote, and by its exit code where it is our child."""
        answer = self.answer(job)
        error = answer.get("error") if isinstance(answer.get("error"), dict) else None
        if answer and (code is None or code < 0):
            # The answer is the last thing that it does, even if a signal ends it before its exit code does.
            code = int(error["exit_code"]) if error else 0
        ended = replace(job, ended=now, code=code)
        if code == 0:
            return replace(ended, state="done")
        if code in INTERRUPTED or (job.wish and not answer and code in UNHEARD):
            return replace(ended, state=job.wish or "stopped")
        if error:
            return replace(ended, state="failed", reason=str(error["message"]))
        return replace(ended, state="failed", reason=self._why(job, code))

    def _why(self, job: Job, code: int | None) -> str:
        if code is not None and code < 0:
            return f"The process was killed (signal {-code}); the machine may have run out of memory."
        if code is None:
            return "The process ended without an answer: it was killed, or the machine was restarted."
        last = (self.output_tail(job).strip().splitlines() or [""])[-1]
        return f"It ended with exit code {code}. {last}".strip()
