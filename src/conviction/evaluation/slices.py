"""Accuracy by slice: whether the network is worse on dark, small or otherwise special pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from conviction.data import ImageSet
from conviction.data.group import check_known, read_file_column
from conviction.errors import RequestError
from conviction.evaluation.intervals import holm, wilson

# Numbers are cut into this many slices of equal size; a column with more than MOST_VALUES texts names its images.
QUANTILES = 4
MOST_VALUES = 20
SURE = 0.05


@dataclass(frozen=True)
class Slice:
    """Images that share a property: how many, and how many of them are right, with Wilson's interval.

    ``expected`` is the accuracy that their classes alone would give: bright pictures may be of a difficult class.
    """

    name: str
    n: int
    accuracy: float
    ci95: tuple[float, float]
    expected: float


@dataclass(frozen=True)
class Slicing:
    """The slices of one property.

    ``p_value`` is that of a test of equal accuracy in all slices within each class, corrected by Holm for the number of
    properties; ``sentence`` says what it means.
    """

    property: str
    slices: tuple[Slice, ...]
    p_value: float
    sentence: str


def read_metadata(path: str, images: ImageSet) -> dict[str, list[str]]:
    """The columns of a CSV with a column 'file', each with a value per image of the set, "" where it has none.

    Raises:
        RequestError: It cannot be read, has no other column, or names images that the source does not have.
    """
    what = f"evaluation.metadata={path}"
    rows = dict(read_file_column(Path(path), "evaluation.metadata"))
    check_known(set(rows), images, what)
    named = {column for row in rows.values() for column in row} - {"file", "filename", "image", "path", ""}
    if not named:
        raise RequestError(f"{what}: expected columns besides 'file', such as 'camera'; it has none.")
    return {
        column: [rows.get(name, {}).get(column, "").strip() for name in images.names]
        for column in sorted(named)
    }


def properties(
    images: ImageSet, index: np.ndarray, metadata: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """By property, (n,) text or numbers of the images at ``index``: brightness, size, folder, the metadata's columns.

    Only those that differ between these images.
    """
    if images.absent:
        return {}  # also of the others, whose p-values are corrected for the number of all
    by_property: dict[str, np.ndarray] = {"brightness": np.array([images.unpadded[i].mean() for i in index])}
    if images.headers:
        headers = [images.headers[i] for i in index]
        by_property["megapixels of the file"] = np.array([h.width * h.height / 1e6 for h in headers])
    by_property["folder"] = np.array([_folder(images.names[i], images) for i in index])
    for column, values in metadata.items():
        by_property[column] = _numbers([values[i] for i in index])
    return {name: values for name, values in by_property.items() if len(set(values.tolist())) > 1}


def slices(
    values_by_property: Mapping[str, np.ndarray], labels: np.ndarray, right: np.ndarray
) -> list[Slicing]:
    """Accuracy in every slice of every property.

    Args:
        values_by_property: (n,) numbers or text each.
        labels: (n,) integers, the true classes.
        right: (n,) bool, whether the image was classified correctly.
    """
    cut = {name: _cut(values) for name, values in values_by_property.items()}
    cut = {name: groups for name, groups in cut.items() if len(groups) > 1}
    corrected = holm([_p_value(groups, labels, right) for groups in cut.values()])
    size = np.bincount(labels)
    recall = np.bincount(labels, right) / np.maximum(size, 1)
    slicings = []
    for (name, groups), p in zip(cut.items(), corrected, strict=True):
        rows = []
        for value, member in groups:
            n, hits = int(member.sum()), int(right[member].sum())
            expected = float(recall[labels[member]].mean())
            rows.append(Slice(value, n, hits / n, wilson(hits, n), expected))
        low = min(rows, key=lambda s: s.accuracy - s.expected)
        outcome = (
            f"it is worst for {low.name}, with {low.accuracy:.1%} where its classes alone would give "
            f"{low.expected:.1%}; chance does not explain the differences (p = {p:.2g})"
            if p < SURE
            else f"no difference beyond what chance and the classes explain (p = {p:.2g})"
        )
        slicings.append(Slicing(name, tuple(rows), p, f"By {name}: {outcome}."))
    return slicings


def _folder(name: str, images: ImageSet) -> str:
    """The folders of a file other than those named after a part or a class."""
    labelling = {*images.class_names, "train", "training", "test", "testing", "validation", "valid", "val"}
    return "/".join(p for p in PurePosixPath(name).parts[:-1] if p not in labelling) or "(top)"


def _numbers(values: Sequence[str]) -> np.ndarray:
    """Numbers if all values that are present are numbers and there are many; otherwise text."""
    if len({*values}) > MOST_VALUES:
        try:
            return np.array([float(v) if v else np.nan for v in values])
        except ValueError:
            pass
    return np.array(values)


def _cut(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(name, (n,) bool) of every slice that has images; more than ``MOST_VALUES`` names are none."""
    if values.dtype.kind != "f":
        names = np.unique(values)
        if len(names) > MOST_VALUES:
            return []
        return [(str(name) or "(missing)", values == name) for name in names]
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, QUANTILES + 1))) if len(known) else np.empty(0)
    groups = []
    for i, (low, high) in enumerate(pairwise(edges)):
        inside = (values >= low) & ((values < high) if i < len(edges) - 2 else (values <= high))
        if inside.any():
            groups.append((f"{low:.4g} to {high:.4g}", inside))
    return groups


def _p_value(groups: Sequence[tuple[str, np.ndarray]], labels: np.ndarray, right: np.ndarray) -> float:
    """Of the generalised Cochran-Mantel-Haenszel test: slices against right and wrong, stratified by class.

    Landis, Heyman and Koch (1978), "Average partial association in three-way contingency tables".
    """
    from scipy.stats import chi2

    members = np.stack([member for _, member in groups]).astype(np.float64)  # (slices, n)
    surplus, covariance = np.zeros(len(members)), np.zeros((len(members), len(members)))
    for label in np.unique(labels):
        inside = labels == label
        n, hits = int(inside.sum()), int(right[inside].sum())
        if n < 2:
            continue
        sizes = members[:, inside].sum(axis=1)
        surplus += members[:, inside] @ right[inside] - sizes * hits / n
        # Of the hits among the slices, if they were drawn without regard to the slice.
        scale = hits * (n - hits) / (n * n * (n - 1))
        covariance += scale * (n * np.diag(sizes) - np.outer(sizes, sizes))
    # The slices add up to everything, so that one of them says nothing new.
    freedom = int(np.linalg.matrix_rank(covariance))
    if freedom == 0:
        return 1.0
    return float(chi2.sf(surplus @ np.linalg.pinv(covariance) @ surplus, freedom))
