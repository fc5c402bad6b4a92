"""Labels that a person has corrected: ``data.relabel``, a CSV with a picture, its label and the proposed one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from conviction.audience import option, without_home
from conviction.config.text import shortened
from conviction.data.group import check_known, read_file_column
from conviction.data.image_set import ImageSet, Relabelled
from conviction.errors import RequestError, did_you_mean

# As ``mistakes`` and ``suspects`` write them.
LABEL, PROPOSED = "label", "proposed"


@dataclass(frozen=True)
class Proposal:
    """Another label for an image, or the same one.

    Attributes:
        name: Of the image.
        label: Its label, if the file says it.
        proposed: The class that it is given.
    """

    name: str
    label: str
    proposed: str


def relabel(images: ImageSet, path: str) -> ImageSet:
    """The same images with the labels that a CSV proposes.

    Rows without a proposed class change nothing. A class that loses its last image is not a class any more.

    Args:
        images: As the source labels them.
        path: A CSV with the columns file and proposed, and if it has it label, which must be that of the source.

    Raises:
        RequestError: It cannot be read; it names an image twice with different classes, an image or a class that is not
            there, or another label than that of the source; or it changes no label.
    """
    key = option("relabel", "data.relabel")
    what = f"{key}={path}"
    proposals = [p for p in _read(Path(path), key) if p.proposed]
    check_known({p.name for p in proposals}, images, what)
    labels = dict(zip(images.names, images.labels.tolist(), strict=True))
    changes: dict[str, tuple[str, str]] = {}
    wanted: dict[str, str] = {}
    for proposal in proposals:
        name = proposal.name
        if name not in labels:  # it cannot be read, and was left out
            continue
        before = images.class_names[labels[name]]
        _check(proposal, before, images.class_names, what)
        if wanted.setdefault(name, proposal.proposed) != proposal.proposed:
            raise RequestError(
                f"{what}: '{name}' is proposed to be '{wanted[name]}' and '{proposal.proposed}'. Leave one line."
            )
        if proposal.proposed != before:
            changes[name] = (before, proposal.proposed)
    if not changes:
        raise RequestError(
            f"{what}: it changes no label: in each line the column '{PROPOSED}' is empty or the label that the image "
            f"has. Write the right class there, or leave out {key}."
        )
    return relabelled(images, Relabelled(without_home(Path(path).expanduser().resolve()), changes))


def relabelled(images: ImageSet, changes: Relabelled) -> ImageSet:
    """The same images with these changes; those of images that are gone are left out.

    Args:
        images: As the source labels them.
        changes: Made before, with classes of these images.
    """
    number = {name: i for i, name in enumerate(images.class_names)}
    rows = {name: row for row, name in enumerate(images.names)}
    labels = images.labels.copy()
    for name, (_, after) in changes.changes.items():
        if name in rows and after in number:
            labels[rows[name]] = number[after]
    left = np.unique(labels)
    return replace(
        images,
        labels=np.searchsorted(left, labels),
        class_names=[images.class_names[i] for i in left.tolist()],
        relabelled=changes,
    )


def proposals_csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows with at least file, label and proposed, as ``relabel`` reads them."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    # File names need not be valid Unicode, and must be read back unchanged.
    return text.getvalue().encode("utf-8", "surrogateescape")


def _read(path: Path, key: str) -> Iterator[Proposal]:
    for name, row in read_file_column(path, key, needed=PROPOSED):
        yield Proposal(name, row.get(LABEL, "").strip(), row[PROPOSED].strip())


def _check(proposal: Proposal, before: str, class_names: Sequence[str], what: str) -> None:
    if proposal.label and proposal.label != before:
        raise RequestError(
            f"{what}: it says that '{proposal.name}' is labelled '{shortened(proposal.label)}', and its label is "
            f"'{before}'. The file belongs to other labels than those of the source: give the source that it was "
            "written for."
        )
    if proposal.proposed not in class_names:
        raise RequestError(
            f"{what}: '{proposal.name}' is proposed to be '{shortened(proposal.proposed)}', which is no class of the "
            f"source.{did_you_mean(proposal.proposed, class_names)} The classes are "
            f"{shortened(', '.join(class_names))}."
        )
