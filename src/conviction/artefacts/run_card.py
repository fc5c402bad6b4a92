"""The model card of a run: for the artefacts, and as a page for people."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import ValidationError

from conviction.artefacts.card import Card, FoldsFigure, LearnedBefore, LearnedFrom, TestFigure
from conviction.config.data import Fit
from conviction.errors import RunError
from conviction.evaluation import openings_sentence
from conviction.model.backbones import KINDS
from conviction.model.shapes import trained_words
from conviction.runs import RunFolder, folder
from conviction.version import __version__

# As their authors state them.
LICENCES = {
    "digits": "CC BY 4.0",
    "mnist": "CC BY-SA 3.0",
    "fashion_mnist": "MIT",
}
# By ``DecodingRule.fit``: how a picture of another shape comes to the model's.
_SHAPED: dict[Fit, str] = {
    "stretch": "stretched to this size",
    "crop": "its middle brought to this size",
    "pad": "all of it scaled into this size with black beside it,",
}
# Training images of the challenge of 2012, which every backbone has learned from (Russakovsky et al., 2015).
IMAGENET, IMAGENET_IMAGES, IMAGENET_CLASSES = "ImageNet (ILSVRC 2012)", 1_281_167, 1000
# A class with a lower recall is named among the limits.
WEAK_RECALL = 0.7


def card_of(run: RunFolder, kind: str, quantized: Any = None) -> Card:
    """The card of an artefact of this format, made from a finished run.

    Raises:
        RunError: The files of the run hold figures that no run has.
    """
    try:
        return _card_of(run, kind, quantized)
    except ValidationError as failure:
        first = failure.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RunError(
            f"{run.path}: no model card can be made of its files ({where}: {first['msg']})."
        ) from None


def _card_of(run: RunFolder, kind: str, quantized: Any) -> Card:
    data, environment = run.data, run.environment
    test = run.evaluation.test
    figure = None
    if test is not None:
        figure = TestFigure(
            n=test.n,
            accuracy=test.accuracy,
            accuracy_ci95=test.accuracy_ci95,
            openings=test.openings,
            test_set=run.split.test_hash,
        )
    return Card(
        name=run.path.resolve().name,
        kind=kind,
        quantized=quantized,
        class_names=tuple(run.class_names),
        decoding=run.rule,
        decision=run.decision,
        data=LearnedFrom(
            name=data.name or data.source,
            licence=LICENCES.get(data.source),
            images_by_class=data.counts.model_dump(),
        ),
        backbone=_backbone(run),
        specification=run.config.model_dump(mode="json"),
        test=figure,
        folds=_folds(run),
        limits=tuple(_limits(run, quantized)),
        provenance={
            "model_sha256": hashlib.sha256((run.path / folder.MODEL).read_bytes()).hexdigest(),
            "trained": environment.started,
            "versions": environment.versions,
            "precision": environment.precision,
            "exporter": __version__,
        },
    )


def _folds(run: RunFolder) -> FoldsFigure | None:
    folds = run.evaluation.folds
    if folds is None or folds.accuracy.ci95 is None:
        return None
    return FoldsFigure(
        folds=folds.folds,
        repetitions=folds.repetitions,
        n=folds.n,
        accuracy=folds.accuracy.value,
        accuracy_ci95=folds.accuracy.ci95,
    )


def _backbone(run: RunFolder) -> LearnedBefore | None:
    first = run.config.model.backbone
    if first is None:
        return None
    kind = KINDS[first.name]
    return LearnedBefore(
        name=kind.title,
        paper=kind.paper,
        weights=first.weights,
        data=IMAGENET,
        images=IMAGENET_IMAGES,
        classes=IMAGENET_CLASSES,
        learned_on=trained_words(first),
    )


def _limits(run: RunFolder, quantized: Any) -> list[str]:
    names = ", ".join(run.class_names) if len(run.class_names) <= 12 else f"{len(run.class_names)} classes"
    limits = [
        f"It answers with one of {names}, whatever a picture shows; it has no answer for anything else.",
        f"Its figures hold for pictures like those of {run.data.name or run.data.source}; on others its accuracy is "
        "unknown.",
    ]
    test = run.evaluation.test
    if test is not None:
        limits.append(openings_sentence(test.openings))
        weak = [c for c in test.per_class if c.recall is not None and c.recall < WEAK_RECALL]
        if weak:
            named = ", ".join(f"{c.name} ({c.recall:.0%})" for c in weak[:10])
            limits.append(
                f"It recognises fewer than {WEAK_RECALL:.0%} of the test images of these classes: {named}."
            )
    else:
        limits.append("Its test set is sealed: how good it is on unseen images has not been measured.")
    backbone = _backbone(run)
    if backbone is not None:
        limits.append(
            f"It begins with {backbone.name}, which had learned from photographs that were collected from the web. "
            "Pictures from the web may have been among them, so a test set taken from the web may not be unseen."
        )
    if quantized:
        limits.append(f"Its numbers are {quantized}; the test figures are those of the float32 model.")
    return limits


def card_page(card: Card, checks: list[str]) -> str:
    """The card as Markdown, with what the parity gate found."""
    rule = card.decoding
    lines = [f"# {card.name}", "", "## What it does", ""]
    lines += [
        f"It takes pictures as {rule.height}x{rule.width} pixels, {rule.color_mode}, uint8 0 to 255, and gives the "
        f"probability of each of {len(card.class_names)} classes: {', '.join(card.class_names)}. Scaling is built in.",
        "",
        f"Decoding rule {rule.version} turns any picture into these pixels: EXIF orientation applied, transparency "
        f"laid over white, {rule.color_mode}, {_SHAPED[rule.fit]} by an antialiased {rule.filter} filter.",
    ]
    views = card.specification.get("evaluation", {}).get("views", 1)
    if views > 1:
        lines += [
            "",
            f"Each answer is the mean over {views} versions of the picture, for {views} times the arithmetic.",
        ]
    if card.decision is not None:
        lines += [
            "",
            f"It answers {card.decision.class_name} from a probability of {card.decision.threshold:g} on; the other "
            "probabilities and figures do not depend on that.",
        ]
    lines += ["", "## How good it is", ""]
    if card.test:
        low, high = card.test.accuracy_ci95
        lines.append(
            f"It classified {card.test.accuracy:.2%} of {card.test.n:,} test images correctly, 95% interval {low:.2%} "
            f"to {high:.2%}."
        )
    if card.folds:
        low, high = card.folds.accuracy_ci95
        lines += [
            "",
            f"Other networks of the same recipe classified {card.folds.accuracy:.2%} of {card.folds.n:,} images "
            f"correctly that they had not seen, 95% interval {low:.2%} to {high:.2%} (cross-validation, "
            f"{card.folds.folds} folds, {card.folds.repetitions} time{'' if card.folds.repetitions == 1 else 's'}).",
            "",
        ]
    lines += [f"- {limit}" for limit in card.limits]
    counts = {part: sum(n) for part, n in card.data.images_by_class.items()}
    text = ", ".join(f"{n:,} for {part}" for part, n in counts.items())
    licence = card.data.licence or "not known to this program"
    lines += ["", "## What it learned from", "", f"{card.data.name}: {text}. Licence: {licence}."]
    lines += ["", *_backbone_lines(card.backbone)] if card.backbone else []
    lines += ["", "## Exports", "", *[f"- {check}" for check in checks]]
    lines += ["", "## Where it comes from", ""]
    for name, value in card.provenance.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        lines.append(f"- {name}: {text}")
    return "\n".join(lines) + "\n"


def _backbone_lines(backbone: LearnedBefore) -> list[str]:
    lines = [
        f"It begins with {backbone.name} ({backbone.paper}), which had learned from {backbone.data}: "
        f"{backbone.images:,} photographs of {backbone.classes:,} classes. In this run: {backbone.learned_on}.",
        "",
    ]
    weights = backbone.weights
    if weights is not None:
        lines += [
            f"- Source of its weights: {weights.source}",
            f"- Their licence: {weights.licence}",
            f"- SHA-256 of their file: {weights.sha256}",
            "",
        ]
    return [
        *lines,
        "ImageNet's terms allow the use of its photographs for non-commercial research and education only. This model "
        "holds weights that were learned from them, and none of the photographs.",
    ]
