"""What ``data.json`` holds: the images of a run, which part each was in, and what the audit found; see ``content``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from conviction.data import DecodingRule, ImageSet
from conviction.data.audit import KeptAudit
from conviction.data.doubtful_labels import DoubtfulLabel
from conviction.data.feature_audit import FeatureAudit
from conviction.data.findings import Severity
from conviction.data.image_set import PARTS, Relabelled
from conviction.data.mirrors import Mirrors
from conviction.data.sessions import Nearest, Sessions
from conviction.runs.content import Content, Count, Name, read_content

# A hash and a name for each of millions of images.
MOST_DATA = 2**30


class RunCounts(Content):
    """Images per class in each part, in the order of the classes."""

    train: list[Count]
    validation: list[Count]
    test: list[Count]

    @property
    def totals(self) -> dict[str, int]:
        """Images in each part, by its name."""
        return {part: sum(getattr(self, part)) for part in PARTS}


class RunSplit(Content):
    """Which images were in which part: content hashes in hex, by name, in the order of the split.

    ``test_hash`` identifies the test set, whatever its order. The other fields are those of ``Split``, in ``left_out``
    with names.
    """

    test_hash: str
    train: dict[Name, str]
    validation: dict[Name, str]
    test: dict[Name, str]
    test_origin: str = ""
    validation_origin: str = ""
    left_out: dict[str, list[Name]] = Field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many images it has."""
        return len(self.train) + len(self.validation) + len(self.test)

    def of(self, part: str) -> dict[str, str]:
        """The images of "train", "validation" or "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


class RunUnused(Content):
    """Things of one kind that were supplied and not used; the fields are those of ``Unused``."""

    kind: str
    count: int
    examples: list[Name]
    reason: str


class RunNearest(Content):
    """The fields of ``Nearest``."""

    pictures: int
    right: int
    right_apart: int


class RunSessions(Content):
    """The sessions that stay together: content hashes in hex by name; the other fields are those of ``Sessions``."""

    groups: list[dict[Name, str]]
    eyes: Literal["features", "pixels"]
    neighbours: int = 0
    near: int = 0
    by_chance: float = 0.0
    bursts: int = 0
    nearest: RunNearest | None = None

    def of(self, images: ImageSet) -> Sessions:
        """The same with the rows of these images; pictures that are gone are in none."""
        groups = []
        for group in self.groups:
            rows = [row for row in images.rows_of(group.values(), group) if row is not None]
            if len(rows) > 1:
                groups.append(tuple(rows))
        nearest = None if self.nearest is None else Nearest(**self.nearest.model_dump())
        rest = self.model_dump(exclude={"groups", "nearest"})
        return Sessions(tuple(groups), **rest, nearest=nearest)


class RunDoubtfulLabel(Content):
    """A label in doubt: the content hash of the image by its name; the rest as ``DoubtfulLabel``."""

    image: dict[Name, str]
    likelier: StrictInt
    votes: StrictInt


class RunFeatureAudit(Content):
    """What the audit saw by features: images as content hashes in hex by name, the rest as ``FeatureAudit``."""

    network: str
    sought: StrictInt = 0
    copies: list[dict[Name, str]] = Field(default_factory=list)
    asked: StrictInt = 0
    doubtful: list[RunDoubtfulLabel] = Field(default_factory=list)
    unlike: list[dict[Name, str]] = Field(default_factory=list)

    def of(self, images: ImageSet) -> FeatureAudit:
        """The same with the rows of these images; pictures that are gone are left out."""

        def rows(named: dict[str, str]) -> list[int]:
            return [row for row in images.rows_of(named.values(), named) if row is not None]

        pairs = [sorted(rows(pair)) for pair in self.copies]
        return FeatureAudit(
            self.network,
            self.sought,
            tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2),
            self.asked,
            tuple(DoubtfulLabel(i, d.likelier, d.votes) for d in self.doubtful for i in rows(d.image)),
            tuple(i for named in self.unlike for i in rows(named)),
        )


class RunFinding(Content):
    """A finding of the audit, worded as it was then; the fields are those of ``Finding``."""

    kind: str
    severity: Severity
    sentence: str
    advice: str
    count: Count
    names: list[Name] = Field(default_factory=list)


class RunAudit(Content):
    """Files that cannot be read, with reasons, and what was found in the others."""

    unreadable: dict[Name, str] = Field(default_factory=dict)
    findings: list[RunFinding] = Field(default_factory=list)


class RunRelabelled(Content):
    """The fields of ``Relabelled``."""

    file: Name
    changes: dict[Name, Annotated[tuple[str, str], Field(strict=False)]]


class _Source(Content):
    source: Annotated[Name, Field(min_length=1)]


class RunMirrors(Content):
    """As ``Mirrors``."""

    images: Annotated[int, Field(ge=1)]
    agreement: Annotated[float, Field(ge=0.0, le=1.0)]
    mirrored: Annotated[float, Field(ge=0.0, le=1.0)]
    chance: Annotated[float, Field(ge=0.0, le=1.0)]
    swapped: Annotated[list[Name], Field(min_length=2, max_length=2)] | None
    use: bool
    clear: bool


class RunData(Content):
    """The content of ``data.json``.

    Attributes:
        source: A named set by its name, anything else by its full path.
        name: As ``ImageSet.name``; so are ``location``, ``stored``, ``conversions``, ``unused`` and ``class_names``.
        counts: Images per class in each part.
        labels_hash: From ``labels_hash``, of all parts; empty for a run of a version that had none.
        relabelled: The labels that were changed.
        decoding: How the images were decoded.
        audit: What was wrong with the images.
        mirrors: What decided whether training mirrors; None if a person did.
        sessions: Pictures that were taken together, if they were kept together or compared by features.
        features: What the audit saw by features; None for pixels alone.
        split: Which image was in which part; ``RunFolder.split`` is the same where it must be known.
    """

    source: Annotated[Name, Field(min_length=1)]
    name: Name = ""
    location: Name = ""
    stored: str = ""
    conversions: list[str] = Field(default_factory=list)
    unused: list[RunUnused] = Field(default_factory=list)
    decoding: DecodingRule
    class_names: Annotated[list[str], Field(min_length=2)]
    counts: RunCounts
    labels_hash: str = ""
    relabelled: RunRelabelled | None = None
    audit: RunAudit = Field(default_factory=RunAudit)
    mirrors: RunMirrors | None = None
    sessions: RunSessions | None = None
    features: RunFeatureAudit | None = None
    split: RunSplit | None = None

    def kept_audit(self, images: ImageSet) -> KeptAudit:
        """What the run keeps of its audit, with the rows of these images."""
        return KeptAudit(
            None if self.sessions is None else self.sessions.of(images),
            None if self.features is None else self.features.of(images),
        )

    @property
    def changes(self) -> Relabelled | None:
        """The labels that were changed, for ``load_source``."""
        return None if self.relabelled is None else Relabelled(**self.relabelled.model_dump())

    @property
    def decided_mirrors(self) -> Mirrors | None:
        """What decided whether training mirrors; None if a person did."""
        if self.mirrors is None:
            return None
        values = self.mirrors.model_dump()
        return Mirrors(**{**values, "swapped": values["swapped"] and tuple(values["swapped"])})

    @property
    def images(self) -> int:
        """How many images it has."""
        return sum(self.counts.totals.values()) if self.split is None else self.split.images

    @model_validator(mode="after")
    def _belong_together(self) -> RunData:
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError("class_names has a name twice")
        if any(len(getattr(self.counts, part)) != len(self.class_names) for part in PARTS):
            raise ValueError("counts has not one number for each of class_names")
        doubtful = [] if self.features is None else self.features.doubtful
        if any(not 0 <= label.likelier < len(self.class_names) for label in doubtful):
            raise ValueError("features.doubtful has the number of no class")
        return self


def read_data(path: Path) -> RunData:
    """The content of ``data.json``.

    Raises:
        OSError, ValueError, RecursionError: It cannot be read, or does not hold what it should.
    """
    return read_content(path, RunData, MOST_DATA)


def read_source(path: Path) -> str:
    """``source`` of ``data.json``, whatever the rest of it is; raises as ``read_data``."""
    return read_content(path, _Source, MOST_DATA).source
