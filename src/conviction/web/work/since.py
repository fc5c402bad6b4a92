"""What was changed from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from conviction.config import Recipe
from conviction.data import ImageSet, Split
from conviction.data.image_set import labels_hash
from conviction.errors import ConvictionError
from conviction.flow.differences import OF_FILES, NetworkRows, layers_of, network_changes, settings_of
from conviction.runs import RunFolder, folder
from conviction.web.jobs.progress import RunStatus
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import specification_of
from conviction.web.work.changes import word_of


@dataclass(frozen=True)
class Since:
    """How a run differs from an earlier one on the same images.

    Attributes:
        name: Of the earlier one.
        settings: By key, the value before and after.
        layers: How the network differs, a line for each layer.
        repeated: Whether nothing differs and both have come to the same figures.
        comparable: Whether there are images that both have answered: those of one test set, opened by both, or of one
            validation set.
    """

    name: str
    settings: dict[str, tuple[Any, Any]]
    layers: tuple[str, ...]
    repeated: bool
    comparable: bool

    @property
    def words(self) -> list[str]:
        """``learning rate changed from 0.001 to 0.003``, and the layers."""
        return [*(_words(key, *values) for key, values in self.settings.items()), *self.layers]


def since_the_one_before(runs: Sequence[RunStatus]) -> dict[str, Since]:
    """By name, how each run differs from the last one before it that was on the same images.

    Args:
        runs: In any order.
    """
    known: dict[str, Since] = {}
    # By when they were begun: a run that is continued is as old as before.
    ordered = sorted((r for r in runs if r.rows), key=lambda r: _begun(r.path), reverse=True)
    for at, run in enumerate(ordered):
        before = next((r for r in ordered[at + 1 :] if r.source == run.source), None)
        if before is None:
            continue
        try:
            known[run.path.name] = _since(before, run)
        except (ConvictionError, OSError, KeyError, TypeError, ValueError):
            continue  # one of them is damaged, which its row says
    return known


@dataclass(frozen=True)
class RequestedRun:
    """A run that was made here, and the file of the specification that was asked for."""

    run: RunStatus
    file: Path


def requested_runs(runs: Sequence[RunStatus], jobs: Sequence[Job]) -> list[RequestedRun]:
    """The runs that this lab has trained, and so this machine, with what was asked for.

    A run is finished before the process that trained it has ended. One that was paused is left out: it may have been
    continued with another number of epochs than it was asked for.

    Args:
        runs: Of an owner.
        jobs: Of the same owner.
    """
    trained = [job for job in jobs if job.state in ("running", "done")]
    files = {Path(job.folder): file for job in trained if (file := specification_of(job)) is not None}
    return [RequestedRun(run, files[run.path]) for run in runs if run.path in files]


def twin_of(recipe: Recipe, images: ImageSet, split: Split, runs: Sequence[RequestedRun]) -> str:
    """The name of a finished run that a training would repeat: the same request for the same images; empty if none.

    Args:
        recipe: Of the training. What it leaves open is settled by the images and the machine, which are the same.
        images: What it learns from.
        split: Of these.
        runs: Those that were made on this machine.
    """
    text, labels = recipe.to_yaml(), ""
    for asked in runs:
        path = asked.run.path
        try:
            # One that was continued has taken another way to its last epoch.
            continued = any(path.glob(folder.EARLIER_EVALUATION.format("*")))
            if not asked.run.is_done or continued or asked.file.read_text(encoding="utf-8") != text:
                continue
            made = RunFolder(path).data
        except (ConvictionError, OSError, ValueError):
            continue
        labels = labels or labels_hash(images, split.all)
        if made.decoding == images.rule and made.labels_hash == labels:
            return path.name
    return ""


def _since(before: RunStatus, run: RunStatus) -> Since:
    (old, old_layers), (new, new_layers) = (_read(r.path, _stamp(r.path)) for r in (before, run))
    settings = {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}
    layers = tuple(network_changes(old_layers, new_layers))
    same_data = not any(key.startswith("data.") for key in settings)
    answered = (before.opened and run.opened) or "training.seed" not in settings
    return Since(
        before.path.name,
        settings,
        layers,
        repeated=not settings and not layers and before.rows == run.rows,
        comparable=before.is_done and run.is_done and same_data and answered,
    )


def _stamp(path: Path) -> int:
    return (path / folder.CONFIG).stat().st_mtime_ns


def _begun(path: Path) -> float:
    try:
        return (path / folder.DATA).stat().st_mtime
    except OSError:
        return 0.0


@lru_cache(maxsize=4096)
def _read(path: Path, _: int) -> tuple[dict[str, Any], NetworkRows]:
    run = RunFolder(path)
    return settings_of(run), layers_of(run)


def _words(key: str, before: Any, after: Any) -> str:
    if key in OF_FILES:
        return f"{word_of(key)}: {'a list' if not before else 'none' if not after else 'another list'}"
    return f"{word_of(key)} changed from {_short(before)} to {_short(after)}"


def _short(value: Any) -> str:
    words = {None: "none", True: "on", False: "off"}
    if isinstance(value, bool) or value is None:
        return words[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
