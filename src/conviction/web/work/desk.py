"""A desk: what one learner has chosen and built so far, kept on disk under a name that is part of the address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from conviction.config import DataSpec, ImageFacts, Recipe, load_recipe
from conviction.config.layer_edits import Layers
from conviction.errors import RequestError
from conviction.runs import folder
from conviction.web.work.addresses import BENCH
from conviction.web.work.network import starting_point

# Choices about the pictures and about the evaluation: another recipe leaves them as they are.
KEPT_KEYS = ("data.group", "data.exclude", "evaluation.folds")
# How ``live/collecting.js`` names the pictures of a recording.
NAMED_SESSIONS = "/(session-[0-9]+)-"
# The most changes that can be undone.
MOST_UNDONE = 100
_NAME = re.compile(r"[a-z0-9]{8,32}")
_KINDS = {"id": str, "owner": str, "source": str, "guesses": dict, "kept": dict, "revision": int}


@dataclass(frozen=True)
class Draft:
    """A network and settings: the recipe to start from, the layers, and keys of all sections but ``model``."""

    recipe: str = "lab"
    layers: Layers = ()
    keys: Mapping[str, Any] = field(default_factory=dict)

    def specification(self, facts: ImageFacts) -> Recipe:
        """The whole specification of a run; its test set stays sealed until a button opens it.

        Raises:
            RequestError: A key is unknown or its value out of range.
        """
        return load_recipe(
            {
                "recipe": self.recipe,
                "model.layers": [layer.model_dump(mode="json") for layer in self.layers],
                **self.keys,
                "evaluation.test": False,
            },
            facts=facts,
        )

    def base(self) -> dict[str, Any]:
        """The keys of an exploration that starts from here; the lab's own network by its name alone."""
        # Its trials are compared on validation images alone.
        own = {k: v for k, v in self.keys.items() if not k.startswith("evaluation.")}
        keys: dict[str, Any] = {"recipe": self.recipe, **own}
        if self.recipe != "lab" or self.layers != load_recipe({"recipe": "lab"}).model.layers:
            keys["model.layers"] = [layer.model_dump(mode="json") for layer in self.layers]
        return keys

    def with_key(self, key: str, value: Any, facts: ImageFacts) -> Draft:
        """With one key set, after it has been checked; a value that the recipe already has is not kept.

        Raises:
            RequestError: The value is out of range.
        """
        plain = replace(self, keys={k: v for k, v in self.keys.items() if k != key})
        changed = replace(self, keys={**self.keys, key: value})
        section, _, name = key.partition(".")
        before, now = (getattr(getattr(d.specification(facts), section), name) for d in (plain, changed))
        return plain if before == now else changed

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "recipe": self.recipe,
            "layers": [layer.model_dump(mode="json") for layer in self.layers],
            "keys": dict(self.keys),
        }


def draft_of(values: Mapping[str, Any]) -> Draft:
    """From what ``to_json`` gave.

    Raises:
        RequestError: The values are not those of a draft.
    """
    recipe, keys = values["recipe"], dict(values["keys"])
    whole = load_recipe({"recipe": recipe, "model.layers": values["layers"], **keys})
    return Draft(recipe, whole.model.layers, keys)


def new_draft(recipe: str, facts: ImageFacts, before: Draft | None = None) -> Draft:
    """The network and the settings of a recipe, for these images; ``before`` leaves it what no recipe decides.

    >>> grouped = Draft(keys={"data.group": "auto", "training.epochs": 3})
    >>> dict(new_draft("fast", ImageFacts(), grouped).keys)
    {'data.group': 'auto'}
    """
    kept = {} if before is None else {k: v for k, v in before.keys.items() if k in KEPT_KEYS}
    return Draft(recipe, starting_point(recipe, facts).model.layers, kept)


def data_of(draft: Draft | None) -> DataSpec:
    """How the images of a draft are decoded and split."""
    if draft is None:
        return load_recipe({"recipe": "lab"}).data
    keys = {key: value for key, value in draft.keys.items() if key.startswith("data.")}
    return load_recipe({"recipe": draft.recipe, **keys}).data


@dataclass(frozen=True)
class Work:
    """What undo returns to: the images that were chosen, and what was built for them, if anything."""

    source: str
    draft: Draft | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"source": self.source, "draft": None if self.draft is None else self.draft.to_json()}


def work_of(values: Mapping[str, Any]) -> Work:
    """From what ``to_json`` gave.

    Raises:
        RequestError: The values are not those of a ``Work``.
    """
    return Work(values["source"], None if values["draft"] is None else draft_of(values["draft"]))


@dataclass
class Desk:
    """One learner's work.

    Attributes:
        id: Its name, which is part of the address.
        owner: Whose it is; "" on one's own machine.
        source: What ``fit`` takes.
        draft: What is built now; None before the images are known.
        undone: The work before each change; the last one comes back first.
        redone: Work that was undone, for redo.
        guesses: By question of the lab, what was expected: an arm's label, or "" for no difference.
        kept: Small choices that a page remembers, such as the depth of the chapters.
        revision: Counts changes, so that another tab notices them.
    """

    id: str
    owner: str = ""
    source: str = "digits"
    draft: Draft | None = None
    undone: list[Work] = field(default_factory=list)
    redone: list[Work] = field(default_factory=list)
    guesses: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    revision: int = 0

    @property
    def data(self) -> DataSpec:
        """How the images are decoded and split."""
        return data_of(self.draft)

    def change(self, draft: Draft) -> bool:
        """Takes a new draft, and remembers the old one; whether anything is different."""
        if draft == self.draft:
            return False
        if self.draft is not None:
            self._remember()
        self.draft = draft
        self.revision += 1
        return True

    def undo(self) -> bool:
        """Undoes the last change, if there is one."""
        return self._step(self.undone, self.redone)

    def redo(self) -> bool:
        """Does the last undone change again, if there is one."""
        return self._step(self.redone, self.undone)

    def choose(self, source: str) -> None:
        """Takes other images; undo brings back what was built for the old ones."""
        if source != self.source:
            self._remember()
            self.source, self.draft = source, None
        self.revision += 1

    def forget(self, root: Path) -> None:
        """Removes from what undo and redo restore the images below a folder that no longer exist."""
        for works in (self.undone, self.redone):
            works[:] = [
                w for w in works if not Path(w.source).is_relative_to(root) or Path(w.source).exists()
            ]

    def _remember(self) -> None:
        self.undone = [*self.undone, Work(self.source, self.draft)][-MOST_UNDONE:]
        self.redone = []

    def _step(self, back: list[Work], forth: list[Work]) -> bool:
        if not back:
            return False
        forth.append(Work(self.source, self.draft))
        work = back.pop()
        self.source, self.draft = work.source, work.draft
        self.revision += 1
        return True

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(replace(self, draft=None, undone=[], redone=[]))
        values["draft"] = None if self.draft is None else self.draft.to_json()
        return {
            **values,
            "undone": [w.to_json() for w in self.undone],
            "redone": [w.to_json() for w in self.redone],
        }


class Desks:
    """All desks below a folder, read when they are asked for.

    Args:
        root: The folder, which exists.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._desks: dict[str, Desk] = {}
        # One write at a time, so that the newest one is the one that remains.
        self._writer = ThreadPoolExecutor(1, "desks")

    def new(self, owner: str, source: str = "digits") -> Desk:
        """A fresh one for these images."""
        desk = Desk(secrets.token_hex(5), owner, source)
        self._desks[desk.id] = desk
        self.keep(desk)
        return desk

    def newest(self, owner: str, source: str = "digits") -> Desk:
        """The desk that this owner changed last, or a fresh one for these images."""
        return next(self.of(owner), None) or self.new(owner, source)

    def untouched(self, owner: str, source: str) -> Desk:
        """A desk for these images on which nothing has been built; a fresh one where there is none."""
        desks = (d for d in self.of(owner) if d.source == source and d.draft is None and not d.undone)
        return next(desks, None) or self.new(owner, source)

    def of(self, owner: str) -> Iterator[Desk]:
        """The desks of an owner, the last changed one first."""
        files = sorted(self._root.glob("*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for file in files:
            with contextlib.suppress(RequestError):
                yield self.get(owner, file.stem)

    def get(self, owner: str, name: str) -> Desk:
        """The desk of this name.

        Raises:
            RequestError: There is none, or it is somebody else's.
        """
        desk = self._desks.get(name) or self._read(name)
        if desk is None or desk.owner != owner:
            raise RequestError(
                f"There is no desk '{name}' here, or its file is damaged. Start a new one at {BENCH}."
            )
        return self._desks.setdefault(name, desk)

    def keep(self, desk: Desk) -> None:
        """Writes it to disk."""
        self._write(desk).result()

    async def keep_beside(self, desk: Desk) -> None:
        """Writes it as it is now, off the event loop, because a disk may take long to sync."""
        await asyncio.wrap_future(self._write(desk))

    def _write(self, desk: Desk) -> Future[None]:
        text = json.dumps(desk.to_json(), allow_nan=False)
        return self._writer.submit(folder.write_text, self._root / f"{desk.id}.json", text)

    def _read(self, name: str) -> Desk | None:
        path = self._root / f"{name}.json"
        if not _NAME.fullmatch(name) or not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            for key in ("undone", "redone"):
                values[key] = [work_of(w) for w in values[key]]
            values["draft"] = None if values["draft"] is None else draft_of(values["draft"])
            desk = Desk(**values)
        # Also one that is nested so deeply that Python gives up.
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        right = all(isinstance(getattr(desk, name), kind) for name, kind in _KINDS.items())
        return desk if right and desk.id == name else None
