"""Labelled picture files of a tree, decoded: what a folder, an archive and a table of pictures become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conviction.audience import by_key
from conviction.config import DataSpec
from conviction.data.decode import Probe
from conviction.data.decoded import load_decoded
from conviction.data.depth import FULL_RANGE, is_deep
from conviction.data.image_set import ImageSet, Unreadable, sorted_order
from conviction.data.layout import Doubt, as_text
from conviction.data.origin import Origin
from conviction.data.rule import DecodingRule
from conviction.data.size import auto_size, size_sentence
from conviction.data.tree import Tree
from conviction.data.unused import PassedOver, count_unused
from conviction.errors import SourceError


@dataclass(frozen=True)
class Labelled:
    """A picture of a tree.

    Attributes:
        path: In the tree.
        label: The name of its class.
        part: "train", "validation", "test", or "" where the source does not say.
        group: What it belongs together with, "" where the source does not say.
    """

    path: str
    label: str
    part: str = ""
    group: str = ""


@dataclass(frozen=True)
class LabelledFiles:
    """The labelled pictures of a tree, at least one, what was passed over, and folders that may be no classes."""

    pictures: Sequence[Labelled]
    passed: Sequence[PassedOver] = ()
    doubts: Sequence[Doubt] = ()


def load_labelled(
    tree: Tree, files: LabelledFiles, origin: Origin | None, spec: DataSpec, saved: DecodingRule | None
) -> ImageSet:
    """Decodes every readable one of the pictures; broken ones are listed in ``unreadable`` and left out.

    Args:
        tree: Where they are.
        files: Which they are.
        origin: How a program reads them.
        spec: How to decode.
        saved: The rule of a run, if there is one.

    Raises:
        SourceError: A class has no readable picture.
        StorageError: The pixels are too many for memory, and the cache cannot be written.
    """
    entries = list(files.pictures)
    class_names = sorted({e.label for e in entries})
    survey, rule, decoded, cache_warning = load_decoded(
        tree, [e.path for e in entries], lambda probes: saved or _rule(spec, probes)
    )
    good = [i for i in range(len(entries)) if i not in survey.problems]
    unreadable = [Unreadable(name=entries[i].path, reason=why) for i, why in sorted(survey.problems.items())]
    _check_classes_left(tree, class_names, [entries[i] for i in good], unreadable)
    # The cache keeps rows in its own order; equal content is equal pixels, so any pairing of equals will do.
    rows = np.empty(len(good), np.int64)
    rows[sorted_order(decoded.hashes)] = np.array(good)[sorted_order(survey.hashes[good])]
    kept = [entries[i] for i in rows]
    headers = [p for p in (survey.probes[i] for i in rows) if p]
    index = {name: i for i, name in enumerate(class_names)}
    return ImageSet(
        name=as_text(tree.location.name),
        location=str(tree.location),
        origin=origin,
        pixels=decoded.pixels,
        thumbs=decoded.thumbs,
        pixel_hashes=decoded.pixel_hashes,
        headers=headers,
        labels=np.array([index[e.label] for e in kept], np.int64),
        hashes=decoded.hashes,
        names=[e.path for e in kept],
        parts=np.array([e.part for e in kept]),
        groups=np.array([e.group for e in kept]) if any(e.group for e in entries) else None,
        class_names=class_names,
        rule=rule,
        stored=_stored(headers),
        conversions=[*_conversions(spec, headers, rule), *([cache_warning] if cache_warning else [])],
        unreadable=unreadable,
        unused=count_unused(files.passed),
        doubts=tuple(files.doubts),
    )


def _check_classes_left(
    tree: Tree, class_names: list[str], kept: list[Labelled], unreadable: list[Unreadable]
) -> None:
    empty = sorted(set(class_names) - {e.label for e in kept})
    if empty:
        first = unreadable[0]
        raise SourceError(
            f"{tree.location}: class '{empty[0]}' has no readable picture left ({len(unreadable)} files "
            f"cannot be read, the first is {first.name}: {first.reason}). Repair the files or remove the class."
        )


def _rule(spec: DataSpec, probes: list[Probe]) -> DecodingRule:
    height, width = spec.image_size or auto_size([(p.height, p.width) for p in probes])
    mode = spec.color_mode
    if mode == "auto":
        mode = "rgb" if any(p.has_color for p in probes) else "grayscale"
    return DecodingRule(color_mode=mode, height=height, width=width, fit=spec.fit, file_range=spec.range)


def _stored(probes: list[Probe]) -> str:
    sizes = {(p.width, p.height) for p in probes}
    modes = ", ".join(sorted({p.mode for p in probes}))
    if len(sizes) == 1:
        width, height = sizes.pop()
        return f"{len(probes)} picture files of {width}x{height} pixels, mode {modes}"
    widths, heights = zip(*sizes, strict=True)
    return (
        f"{len(probes)} picture files from {min(widths)}x{min(heights)} to {max(widths)}x{max(heights)} "
        f"pixels (width x height), mode {modes}"
    )


def _conversions(spec: DataSpec, probes: list[Probe], rule: DecodingRule) -> list[str]:
    sentences: list[str] = []
    sizes = {(p.height, p.width) for p in probes}
    sentences += size_sentence(sizes, rule, asked=spec.image_size is not None)
    colors = sum(p.has_color for p in probes)
    if rule.color_mode == "rgb" and colors < len(probes):
        sentences.append(f"{len(probes) - colors} grayscale pictures became RGB with three equal channels.")
    if rule.color_mode == "grayscale" and colors:
        sentences.append(f"{colors} colour pictures became grayscale{by_key('data.color_mode=grayscale')}.")
    deep = sum(is_deep(p.mode) for p in probes)
    if deep:
        low, high = rule.deep_range or FULL_RANGE
        sentences.append(f"{deep} 16-bit pictures: values {low:g} to {high:g} became 0 to 255.")
    return [*sentences, *_fourth_channels(probes)]


def _fourth_channels(probes: list[Probe]) -> list[str]:
    """What the channels beyond red, green and blue were taken for."""
    modes = [p.mode.removesuffix(";16") for p in probes]
    taken = (
        (("LA", "La", "PA", "RGBA", "RGBa"), "with transparency (alpha) were laid over white"),
        (("CMYK",), "in four inks (CMYK) became red, green and blue"),
        (("RGBX",), "have a fourth channel that their file does not name; it was left out"),
    )
    counts = [(sum(m in names for m in modes), what) for names, what in taken]
    return [f"{n} pictures {what}." for n, what in counts if n]
