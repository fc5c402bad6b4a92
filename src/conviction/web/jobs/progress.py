"""The state of runs and studies, read from their folders at most once a second each, however many pages are open."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conviction.config import FoldPlan
from conviction.errors import ConvictionError, RunError, RunFileError
from conviction.evaluation import Verdict, judge_live
from conviction.experiments.store import (
    DESIGN,
    RESULT,
    TRIALS,
    ExplorationDesign,
    ExplorationResult,
    read_design,
    read_result,
    watch_trials,
)
from conviction.runs import RunFolder, folder
from conviction.runs.folds import read_folds
from conviction.runs.notes import read_note
from conviction.runs.reading import trouble_with
from conviction.training import EpochRow
from conviction.web.jobs.records import Job

LOOK_SECONDS = 1.0
LEAST_EPOCHS = 3


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Attributes:
        path: Its folder.
        status: As ``RunFolder.status``; "damaged" or "unreadable" where a file cannot be read.
        trouble: Which file cannot be read and why, in a sentence.
        rows: Finished epochs.
        epochs: How many were asked for; 0 before the specification is written.
        seconds: How long the last epoch took; 0 before there is one.
        since: When the last epoch was written, or the run began, in seconds since the epoch.
        verdict: The evaluation's, once there is one, and until then that of the curves; None before there are any.
        source: What it was trained on, as ``fit`` takes it; empty before that is written.
        opened: Whether its test set has been opened, so that its figures are of the test images.
        evaluated: When its evaluation was written, in seconds since the epoch; 0 before that.
        plan: What ``evaluation.folds`` asks for; None without folds.
        folds: How many of its networks are done since the run's own was saved.
        test_accuracy: None while its test set is sealed.
        note: What a person has written about it.
    """

    path: Path
    status: str
    rows: tuple[EpochRow, ...] = ()
    epochs: int = 0
    seconds: float = 0.0
    since: float = 0.0
    verdict: Verdict | None = None
    trouble: str = ""
    source: str = ""
    opened: bool = False
    evaluated: float = 0.0
    plan: FoldPlan | None = None
    folds: int = 0
    test_accuracy: float | None = None
    note: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it has an evaluation to show."""
        return self.status == "done"

    @property
    def has_learned(self) -> bool:
        """Whether it has a network to look into."""
        return self.is_done or bool(self.rows)

    def share(self, now: float) -> float:
        """How much of the training is done, 0 to 1, that of the folds too; between two epochs it is estimated from the
        time.
        """
        if not self.epochs:
            return 0.0
        within = min(0.95, (now - self.since) / self.seconds) if self.seconds else 0.0
        own = min(1.0, (len(self.rows) + within) / self.epochs)
        if self.plan is None:
            return own
        return (own + self.plan.work * self.folds / self.plan.networks) / (1 + self.plan.work)


@dataclass(frozen=True)
class StudyStatus:
    """The state of an exploration.

    Attributes:
        path: Its folder.
        done: How many of its trials are finished.
        trials: How many it has; 0 before it is known.
        result: If there is one.
        trouble: Why it cannot be read.
        curves: By the label of an arm, and "base" first, the validation accuracy of each finished trial, by epoch.
    """

    path: Path
    done: int
    trials: int
    result: ExplorationResult | None
    trouble: str = ""
    curves: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)


class RunWatcher:
    """Remembers what it has read for as long as the files stay the same.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Path, tuple[float, tuple[Any, ...], Any]] = {}

    def run(self, path: Path) -> RunStatus:
        """The status of a run."""
        files = (
            *(folder.CONFIG, folder.HISTORY, folder.MODEL, folder.EVALUATION, folder.DATA, folder.FOLDS),
            folder.NOTE,
        )
        return self._look(path, files, _read_run)

    def look_again(self) -> None:
        """Forgets how lately it has read: the page itself has changed something."""
        self._seen = {path: (-LOOK_SECONDS, stamps, value) for path, (_, stamps, value) in self._seen.items()}

    def study(self, path: Path) -> StudyStatus:
        """The status of a study."""
        return self._look(path, (DESIGN, TRIALS, RESULT), _read_study)

    def _look(self, path: Path, files: tuple[str, ...], read: Callable[[Path], Any]) -> Any:
        now = self._clock()
        when, stamps, value = self._seen.get(path, (-LOOK_SECONDS, (), None))
        if now - when < LOOK_SECONDS and value is not None:
            return value
        current = tuple(_stamp(path / name) for name in files)
        if current != stamps or value is None:
            value = read(path)
        self._seen[path] = (now, current, value)
        return value


def state_of(run: RunStatus, job: Job | None) -> str:
    """The one name of a run's state: waiting, running, done, failed, paused, damaged or unreadable.

    Args:
        run: What its folder says.
        job: The newest one that works, or has worked, on it.
    """
    if job is not None and job.alive:
        return job.state
    if run.status in ("done", "damaged", "unreadable"):
        return run.status
    if job is not None and job.state == "failed":
        return "failed"
    return "paused"


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size


def _read_run(path: Path) -> RunStatus:
    run = RunFolder(path)
    try:
        if not (path / folder.CONFIG).is_file():
            return RunStatus(path, "unfinished", since=path.stat().st_mtime if path.is_dir() else time.time())
        run.check()
        rows = tuple(run.epoch_rows)
        verdict = None
        # After one epoch or two there is nothing to compare.
        comparable = len(rows) >= LEAST_EPOCHS or run.status != "unfinished"
        if rows and comparable and (path / folder.DATA).is_file():
            verdict = run.verdict if run.status == "done" else _live(run, rows)
        written = path / (folder.HISTORY if rows else folder.CONFIG)
        return RunStatus(
            path,
            run.status,
            rows,
            run.config.training.epochs,
            _last_seconds(path) if rows else 0.0,
            written.stat().st_mtime,
            verdict,
            source=run.data.source if (path / folder.DATA).is_file() else "",
            opened=run.status == "done" and run.evaluation.test is not None,
            test_accuracy=run.evaluation.accuracy if run.status == "done" else None,
            note=read_note(path),
            evaluated=(path / folder.EVALUATION).stat().st_mtime if run.status == "done" else 0.0,
            plan=run.config.evaluation.fold_plan,
            folds=_folds_done(path),
        )
    except (ConvictionError, OSError, KeyError, TypeError, ValueError) as failure:
        trouble = trouble_with(path, failure) if not isinstance(failure, RunError) else failure
        state = trouble.state if isinstance(trouble, RunFileError) else "damaged"
        return RunStatus(path, state, since=time.time(), trouble=str(trouble))


def _live(run: RunFolder, rows: tuple[EpochRow, ...]) -> Verdict:
    images = run.data.counts.totals
    return judge_live(
        rows,
        train_images=images["train"],
        validation_images=images["validation"],
        classes=len(run.data.class_names),
        recipe=run.config,
        finished=run.status != "unfinished",
    )


def _folds_done(path: Path) -> int:
    """How many folds have been answered; none by a file that may belong to an earlier training of the run."""
    answers, model = path / folder.FOLDS, path / folder.MODEL
    try:
        if answers.stat().st_mtime_ns < model.stat().st_mtime_ns:
            return 0
        return len(read_folds(path).done)
    except (OSError, RunFileError):
        return 0


def _last_seconds(path: Path) -> float:
    """Seconds of training and validation, from the last line of ``timing.csv``."""
    try:
        last = (path / folder.TIMING).read_text(encoding="utf-8").strip().splitlines()[-1].split(",")
        return float(last[1]) + float(last[2])
    except (OSError, ValueError, IndexError):
        return 0.0


def _read_study(path: Path) -> StudyStatus:
    try:
        done = (path / TRIALS).read_bytes().count(b"\n")
    except OSError:
        done = 0
    try:
        design = read_design(path)
        trials = design.trials if design else 0
        result = read_result(path)
        try:
            curves = _curves(design, watch_trials(path)) if design else {}
        except RunFileError:
            if result is None:
                raise
            curves = {}  # what was found stands without them
        return StudyStatus(path, min(done, trials), trials, result, curves=curves)
    except RunFileError as failure:
        return StudyStatus(path, done, 0, None, str(failure))


def _curves(
    design: ExplorationDesign, trials: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[list[float]]]:
    labels = {"base": design.base} | {label: key for _, label, key in design.arms if key}
    curves: dict[str, list[list[float]]] = {label: [] for label in labels}
    for label, specification in labels.items():
        for key, trial in trials.items():
            if key.rpartition("/")[0] == specification and trial["value"] is not None:
                curves[label].append([row["val_accuracy"] for row in trial["value"]["history"]])
    return curves
