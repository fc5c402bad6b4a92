"""The data of a run whose pictures are gone, as far as the run folder has kept it: enough for its report."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import numpy as np

from conviction.config import Recipe
from conviction.data import Audit, Finding, ImageSet, Split
from conviction.data.image_set import PARTS, Unreadable
from conviction.data.unused import Unused
from conviction.flow.prepare import Prepared
from conviction.model import walk
from conviction.runs import RunFolder
from conviction.runs.predictions import Answers

# A picture that is gone is a gray box.
GRAY = np.uint8(190)


def prepare_recorded(run: RunFolder, recipe: Recipe, answers: Mapping[str, Answers]) -> Prepared | None:
    """What ``prepare_again`` gives, without the pictures: ``images.absent`` is true.

    Args:
        run: A finished run.
        recipe: As for ``prepare_again``.
        answers: What the run has kept, which has the label of each image.

    Returns:
        None if the run has not kept enough: its test set is sealed, it has folds, which are cut again, or the answers
        are those to other images.
    """
    if set(answers) != set(PARTS) or recipe.evaluation.fold_plan is not None:
        return None
    if any(list(run.split.of(part).values()) != answers[part].hashes for part in PARTS):
        return None
    images, split = _images(run, answers), _split(run)
    findings = tuple(
        Finding(f.kind, f.severity, f.sentence, f.advice, f.count, names=tuple(f.names))
        for f in run.data.audit.findings
    )
    groups, excluded = np.arange(len(images)), np.zeros(len(images), bool)
    audit = Audit(findings, groups, excluded, features=run.data.kept_audit(images).features)
    rows = walk(recipe.model, images.rule.shape, len(images.class_names))
    return Prepared(recipe, images, audit, split, rows, run.search, mirrors=run.data.decided_mirrors)


def _images(run: RunFolder, answers: Mapping[str, Answers]) -> ImageSet:
    """Those of the parts one after another, then those that are in none, whose labels and content are not known."""
    data, parts = run.data, {part: run.split.of(part) for part in PARTS}
    loose = list(chain(*run.split.left_out.values()))
    names = [*chain(*parts.values()), *loose]
    shape = (len(names), *data.decoding.shape)
    content = "".join([*chain(*(part.values() for part in parts.values())), *("00" * 16 for _ in loose)])
    hashes = np.frombuffer(bytes.fromhex(content), "V16")
    return ImageSet(
        name=data.name,
        location=data.location,
        origin=None,
        pixels=np.broadcast_to(GRAY, shape),
        labels=np.concatenate([*(answers[part].labels for part in PARTS), np.zeros(len(loose), np.int64)]),
        hashes=hashes,
        names=names,
        parts=np.full(len(names), ""),
        class_names=data.class_names,
        rule=data.decoding,
        stored=data.stored,
        conversions=data.conversions,
        unreadable=[Unreadable(name=name, reason=why) for name, why in data.audit.unreadable.items()],
        unused=tuple(Unused(**one.model_dump()) for one in data.unused),
        thumbs=np.broadcast_to(GRAY, (len(names), 32, 32, shape[3])),
        pixel_hashes=hashes,
        relabelled=data.changes,
        absent=True,
    )


def _split(run: RunFolder) -> Split:
    kept = run.split
    sizes = [*(len(kept.of(part)) for part in PARTS), *map(len, kept.left_out.values())]
    train, validation, test, *loose = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    left_out = dict(zip(kept.left_out, loose, strict=True))
    return Split(train, validation, test, kept.test_origin, kept.validation_origin, kept.test_hash, left_out)
