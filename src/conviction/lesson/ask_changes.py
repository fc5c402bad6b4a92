"""Questions about changes: what happens to shapes, parameters and steps."""

from __future__ import annotations

import math
from random import Random

from conviction.lesson.facts import Facts
from conviction.lesson.question import Maker, QuestionDraft, plural, times
from conviction.model import LayerRow, walk


def _larger_pictures(facts: Facts, chance: Random) -> QuestionDraft | None:
    height, width, channels = facts.shape
    taller = walk(facts.recipe.model, (2 * height, 2 * width, channels), facts.classes)
    pairs = [(now, then) for now, then in zip(facts.layers, taller, strict=True) if now.params]
    grown = [(now, then) for now, then in pairs if then.params != now.params]
    if len(grown) != 1 or len(pairs) < 2:
        return None
    now, then = grown[0]
    return QuestionDraft(
        f"Pictures of {2 * height}x{2 * width} pixels instead of {height}x{width} go through the same layers. "
        "Which layer has more parameters than before?",
        (
            now.name,
            f"{then.params:,} instead of {now.params:,}: each unit has a weight for each incoming value.",
        ),
        [(row.name, _size_does_not_matter(row)) for row, _ in pairs if row is not now],
    )


def _size_does_not_matter(row: LayerRow) -> str:
    if row.kind == "Conv2D":
        return f"It keeps its {row.params:,}: a kernel slides over a picture of any size."
    if row.kind == "Backbone":
        return f"It keeps its {row.params:,}: it is made of convolutions, which slide over a picture of any size."
    what = "channels" if row.kind == "BatchNormalization" else "values"
    return f"It keeps its {row.params:,}: the number of incoming {what} is the same as before."


def _twice_the_filters(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = facts.convs[-1] if len(facts.convs) > 1 else None
    if stage is None:
        return None
    (k, m), c, f = stage.layer.kernel_size, stage.before[2], stage.layer.filters
    bias = 1 if stage.layer.use_bias else 0
    now = stage.row.params
    after = (k * m * 2 * c + bias) * 2 * f
    return QuestionDraft(
        f"{stage.row.name} has {now:,} parameters. You double the filters of every convolution. How "
        "many does it have then?",
        (
            f"{after:,}",
            "Twice as many maps come in, and twice as many go out: four times the weights"
            + (" (the biases only double)." if bias else "."),
        ),
        [
            (f"{2 * now:,}", "Its filters doubled, but so did the channels that come in."),
            (f"{8 * now:,}", "Twice in and twice out makes four times; the kernel's size did not change."),
            (f"{now:,}", "Its own filters doubled, and so did the maps that come in."),
        ],
    )


def _larger_kernel(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = facts.convs[0] if facts.convs else None
    if stage is None or stage.layer.padding != "valid" or stage.layer.strides != (1, 1):
        return None
    (h, w, _), (k, m), f = stage.before, stage.layer.kernel_size, stage.layer.filters
    if min(h - k, w - m) < 4:
        return None
    out = (h - k - 1, w - m - 1, f)
    return QuestionDraft(
        f"{stage.row.name} now gives {times(stage.row.output)}. Its kernel grows from {k}x{m} to "
        f"{k + 2}x{m + 2}. What does it give then?",
        (times(out), f"{h} - {k + 2} + 1 = {out[0]}: without padding, a larger window has fewer positions."),
        [
            (times(stage.row.output), "The size would stay only with same padding."),
            (times((out[0] + 4, out[1] + 4, f)), "A larger window has fewer positions, not more."),
            (
                times((out[0], out[1], 2 * f)),
                "The number of maps is the number of filters, whatever their size.",
            ),
        ],
    )


def _larger_batch(facts: Facts, chance: Random) -> QuestionDraft | None:
    now, after = facts.steps, facts.steps_at(2 * facts.batch)
    if now < 4:
        return None
    return QuestionDraft(
        f"With batches of {facts.batch} there are {now:,} steps in an epoch. How many are there with batches of "
        f"{2 * facts.batch}?",
        (
            f"{after:,}",
            f"{facts.train:,} / {2 * facts.batch}, rounded up. About half the updates, at the same "
            "number of epochs.",
        ),
        [
            (f"{2 * now:,}", "Larger batches make fewer steps."),
            (f"{now:,}", "An epoch is all images once, so larger batches mean fewer steps."),
            (f"{math.ceil(now / 4):,}", "Twice the batch halves the steps; it does not quarter them."),
        ],
    )


def _dropped(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = facts.first_dense
    if stage is None or stage.layer.units < 8:
        return None
    units = stage.layer.units
    rate = chance.choice([0.2, 0.25, 0.4])
    return QuestionDraft(
        f"Dropout of {rate:g} follows {stage.row.name} with its {plural(units, 'unit')}. What happens when "
        "the network predicts?",
        (
            f"all {units} units are used, as they are",
            "Dropout works in training only; the remaining values are scaled up there, so nothing needs to be "
            "scaled now.",
        ),
        [
            (
                f"about {plural(round(units * rate), 'unit')} are zero, as in training",
                "At prediction nothing is dropped, or the answer would depend on chance.",
            ),
            (
                f"all {units} are used, each one multiplied by {1 - rate:g}",
                "The first paper did it this way; Keras divides by that number in training instead.",
            ),
            (
                f"the {round(units * rate)} least useful units are left out",
                "Dropout does not choose by usefulness; that would be pruning.",
            ),
        ],
    )


MAKERS: dict[str, tuple[Maker, ...]] = {
    "hyperparameters": (_larger_pictures, _twice_the_filters, _larger_kernel, _larger_batch, _dropped),
}
