"""What was changed from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from conviction.config import Recipe
from conviction.config.flat import by_key
from conviction.data import ImageSet, Split
from conviction.data.image_set import labels_hash
from conviction.errors import ConvictionError
from conviction.flow.differences import OF_FILES, layers_of, settings_of
from conviction.model import LayerRow
from conviction.model.changes import layer_changes
from conviction.runs import RunFolder, folder
from conviction.web.jobs.progress import RunStatus
from conviction.web.work.changes import word_of


@dataclass(frozen=True)
class Since:
    """How a run differs from an earlier one on the same images.

    Attributes:
        name: Of the earlier one.
        settings: By key, the value before and after.
        layers: How the network differs, a line for each layer.
        repeated: Whether nothing differs and both have come to the same figures.
    """

    name: str
    settings: dict[str, tuple[Any, Any]]
    layers: tuple[str, ...]
    repeated: bool

    @property
    def words(self) -> list[str]:
        """``learning rate 0.001 becomes 0.003``, and the layers."""
        return [*(_words(key, *values) for key, values in self.settings.items()), *self.layers]


def since_the_one_before(runs: Sequence[RunStatus]) -> dict[str, Since]:
    """By name, how each run differs from the last one before it that was on the same images.

    Args:
        runs: Newest first.
    """
    known: dict[str, Since] = {}
    for at, run in enumerate(runs):
        before = next((r for r in runs[at + 1 :] if r.rows and r.source == run.source), None)
        if before is None or not run.rows:
            continue
        try:
            known[run.path.name] = _since(before, run)
        except (ConvictionError, OSError, KeyError, TypeError, ValueError):
            continue  # one of them is damaged, which its row says
    return known


def twin_of(recipe: Recipe, images: ImageSet, split: Split, runs: Sequence[RunStatus]) -> str:
    """The name of a finished run that a training would repeat: its images, network, settings and seed; empty if none.

    Args:
        recipe: Of the training. What it leaves open is settled by the images and the machine, which are the same.
        images: What it learns from.
        split: Of these.
        runs: Those that were made on this machine.
    """
    asked = dict(by_key(recipe.model_dump(mode="json")))
    # Opening the test set changes nothing about the network.
    del asked["evaluation.test"]
    for run in runs:
        if not run.is_done:
            continue
        try:
            known, made = _specification(run.path, _stamp(run.path)), RunFolder(run.path).data
        except (ConvictionError, OSError):
            continue
        if any(known.get(key) != value for key, value in asked.items() if value not in (None, "auto")):
            continue
        if made.decoding == images.rule and made.labels_hash == labels_hash(images, split.all):
            return run.path.name
    return ""


def _since(before: RunStatus, run: RunStatus) -> Since:
    (old, rows), (new, others) = (_read(r.path, _stamp(r.path)) for r in (before, run))
    settings = {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}
    layers = tuple(layer_changes(rows, others))
    return Since(before.path.name, settings, layers, not settings and not layers and before.rows == run.rows)


def _stamp(path: Path) -> int:
    return (path / folder.CONFIG).stat().st_mtime_ns


@lru_cache(maxsize=256)
def _read(path: Path, _: int) -> tuple[dict[str, Any], list[LayerRow]]:
    run = RunFolder(path)
    return settings_of(run), layers_of(run)


@lru_cache(maxsize=256)
def _specification(path: Path, _: int) -> dict[str, Any]:
    return dict(by_key(RunFolder(path).config.model_dump(mode="json")))


def _words(key: str, before: Any, after: Any) -> str:
    if key in OF_FILES:
        return f"{word_of(key)}: others"
    return f"{word_of(key)}: {_short(before)} becomes {_short(after)}"


def _short(value: Any) -> str:
    words = {None: "none", True: "on", False: "off"}
    if isinstance(value, bool) or value is None:
        return words[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
