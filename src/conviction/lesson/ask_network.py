"""Questions about images and network: shapes and parameters."""

from __future__ import annotations

from random import Random

from conviction.lesson.facts import Facts
from conviction.lesson.planned import Stage
from conviction.lesson.question import Maker, QuestionDraft, plural, times
from conviction.model.shapes import UNIT


def _array_shape(facts: Facts, chance: Random) -> QuestionDraft:
    h, w, c = facts.shape
    n = facts.train
    return QuestionDraft(
        f"You have {plural(n, 'training image')} of {h}x{w} pixels with {c} channel{'s' if c > 1 else ''}. "
        "What shape does Keras expect?",
        (f"({n}, {h}, {w}, {c})", "Images first, then height, width, and the channels last."),
        [
            (
                f"({n}, {c}, {h}, {w})",
                "That is channels first, as in PyTorch; Keras's default is channels last.",
            ),
            (
                f"({n}, {h * w * c})",
                "A dense network takes vectors; this would lose which pixels are neighbours.",
            ),
            (
                f"({h}, {w}, {c}, {n})",
                "The axis of the images comes first, so that a batch is a slice of it.",
            ),
        ],
    )


def _normalised_pixel(facts: Facts, chance: Random) -> QuestionDraft | None:
    if facts.scaling != UNIT:
        return _scaled_pixel(facts, chance)
    value = chance.choice([v for v in range(20, 236) if v != 128])
    return QuestionDraft(
        f"A pixel of {value} is divided by 255. What does the first convolution see?",
        (f"{value / 255:.3f}", f"{value} / 255 = {value / 255:.3f}."),
        [
            (
                f"{value / 127.5 - 1:.3f}",
                "That is scaling to [-1, 1], another common choice; the lab scales to [0, 1].",
            ),
            (f"{255 / value:.3f}", "That is the other way round: divide the pixel, not the 255."),
            (f"{(value - 128) / 255:.3f}", "Nothing is subtracted here; that would be centring."),
        ],
    )


def _scaled_pixel(facts: Facts, chance: Random) -> QuestionDraft | None:
    """Of a backbone that scales all channels alike."""
    scaling = facts.scaling
    if not isinstance(scaling.scale, float) or not isinstance(scaling.offset, float):
        return None
    value = chance.choice([v for v in range(20, 236) if not 60 <= v <= 90 and abs(v - 127) > 5])
    seen = value * scaling.scale + scaling.offset
    return QuestionDraft(
        f"The backbone takes pixels as {scaling.words}. What does it see of a pixel of {value}?",
        (f"{seen:.3f}", f"{scaling.words} with x = {value}: {seen:.3f}."),
        [
            (
                f"{value / 255:.3f}",
                "That is x / 255, which suits a network that learns from the beginning; this one has learned from "
                "pixels that were scaled in another way.",
            ),
            (f"{value * scaling.scale:.3f}", "Something is subtracted too, so that middle grey lies near 0."),
            (f"{-seen:.3f}", "The sign is wrong: bright pixels lie above 0, dark ones below."),
        ],
    )


def _one_hot(facts: Facts, chance: Random) -> QuestionDraft | None:
    k = facts.classes
    if not 3 <= k <= 12:
        return None
    label = chance.randrange(1, k - 1)

    def vector(*ones: int) -> str:
        return f"[{' '.join('1' if i in ones else '0' for i in range(k))}]"

    name = facts.class_names[label]
    return QuestionDraft(
        f"Class '{name}' has the label {label} of {k}, counted from 0. What is its one-hot vector?",
        (vector(label), f"A 1 at position {label}, counted from 0, and zeros elsewhere."),
        [
            (vector(label - 1), "One position too early: labels are counted from 0."),
            (vector(label + 1), "One position too late."),
            (
                vector(*range(label + 1)),
                "That says 'at least', which suits classes that have an order; these have none.",
            ),
        ],
    )


def _last_slice(facts: Facts, chance: Random) -> QuestionDraft:
    n = facts.train + facts.validation
    at = int(n * 0.9)
    return QuestionDraft(
        f"Keras gets {plural(n, 'image')} and validation_split=0.1. Which ones does it validate on?",
        (
            f"images {at:,} to {n - 1:,}, the last tenth",
            "The last slice, taken before shuffling; so shuffle first.",
        ),
        [
            (
                f"{plural(n - at, 'image')}, drawn at random",
                "It looks like that, but nothing is drawn at random: Keras takes the end of the array.",
            ),
            (f"images 0 to {n - at - 1:,}, the first tenth", "It takes a slice, but from the other end."),
            (
                "another tenth in each epoch",
                "The slice stays the same; only training images are shuffled in every epoch.",
            ),
        ],
    )


def _conv_shape(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = _pick(facts.convs, chance)
    if stage is None:
        return None
    (h, w, _), (k, _), (s, _) = stage.before, stage.layer.kernel_size, stage.layer.strides
    out, f = stage.row.output, stage.layer.filters
    padding = stage.layer.padding
    formula = f"floor(({h} - {k}) / {s}) + 1" if padding == "valid" else f"ceil({h} / {s})"
    one_less = (
        "One too few: a window of k pixels has n - k + 1 positions, not n - k."
        if padding == "valid"
        else "One too few: same padding adds enough zeros for a window at every position."
    )
    return QuestionDraft(
        f"{stage.row.name} has {plural(f, 'filter')} of {times(stage.layer.kernel_size)}, {padding} padding "
        f"and stride {s}; its input is "
        f"{times(stage.before)}. What is its output?",
        (times(out), f"Height: {formula} = {out[0]}; and one map for each filter."),
        [
            (
                times((*out[:2], stage.before[2])),
                "Every filter reaches through all channels and gives one map of its own.",
            ),
            (times((h, w, f)), "The size stays only with same padding and stride 1."),
            (
                times((max(1, out[0] - 1), max(1, out[1] - 1), f)),
                one_less,
            ),
            (
                times((*out[:2], f * stage.before[2])),
                "The products over the channels are added up, so they do not multiply the maps.",
            ),
        ],
    )


def _pool_shape(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = _pick(facts.pools, chance)
    if stage is None:
        return None
    (h, w, c), (p, q), out = stage.before, stage.layer.pool_size, stage.row.output
    same = stage.layer.padding == "same"
    up = (-(-h // p), -(-w // q), c)
    down = (h // p, w // q, c)
    other = (
        (times(down), "Same padding keeps the incomplete window at the edge, so it is rounded up.")
        if same
        else (times(up), "It is rounded down: a window that no longer fits is left out.")
    )
    return QuestionDraft(
        f"{stage.row.name} pools windows of {p}x{q}; its input is {times(stage.before)}. What is its output?",
        (
            times(out),
            f"{h} / {p}, rounded {'up' if same else 'down'}, is {out[0]}; pooling leaves the number "
            "of maps alone.",
        ),
        [
            other,
            (times((*out[:2], max(1, c // p))), "Each map is pooled by itself; none is lost."),
            (
                times((max(1, h - p + 1), max(1, w - q + 1), c)),
                "That is a window moved by one pixel; pooling windows lie side by side.",
            ),
            (times((max(1, h // (2 * p)), max(1, w // (2 * q)), c)), "That is twice the window's size."),
        ],
    )


def _conv_params(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = _pick(facts.convs, chance)
    if stage is None:
        return None
    (k, m), c, f = stage.layer.kernel_size, stage.before[2], stage.layer.filters
    bias = f if stage.layer.use_bias else 0
    positions = stage.row.output[0] * stage.row.output[1]
    weights = k * m * c * f
    product = f"{k} x {m} x {c} x {f}" + (", and a bias for each filter" if bias else ", without biases")
    return QuestionDraft(
        f"{stage.row.name}: {plural(f, 'filter')} of {k}x{m} on {c} channel{'s' if c > 1 else ''}, "
        f"{'with' if bias else 'without'} bias. How many parameters does it have?",
        (f"{stage.row.params:,}", f"{product}: {stage.row.params:,}. The size of the picture plays no part."),
        [
            (f"{k * m * f + bias:,}", "A filter has weights for every channel, not just for one."),
            (f"{weights + f - bias:,}", "Each filter has a bias." if bias else "This layer has no biases."),
            (
                f"{stage.row.params * positions:,}",
                "The same weights are used at every position; that is what makes it a convolution.",
            ),
            (f"{k * m * c + (1 if bias else 0):,}", "That is one filter alone."),
        ],
    )


def _dense_params(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = facts.first_dense
    if stage is None:
        return None
    inputs, units, bias = stage.before[0], stage.layer.units, stage.layer.use_bias
    return QuestionDraft(
        f"{stage.row.name} connects {plural(inputs, 'value')} to {plural(units, 'unit')}"
        f"{'' if bias else ', without bias'}. How many parameters does it have?",
        (
            f"{stage.row.params:,}",
            f"{inputs:,} x {units} for the weights"
            + (f", and one bias for each of {plural(units, 'unit')}." if bias else "."),
        ),
        [
            (
                f"{inputs * units + (0 if bias else units):,}",
                "Each unit has a bias as well." if bias else "There are no biases here.",
            ),
            (f"{inputs + units:,}", "Each value is connected to each unit, so you multiply the numbers."),
            (f"{inputs * units + inputs:,}", "The bias belongs to a unit, not to an input."),
        ],
    )


def _receptive_field(facts: Facts, chance: Random) -> QuestionDraft | None:
    if len(facts.convs) < 2:
        return None
    stage = facts.convs[-1]
    field = stage.row.receptive_field
    assert field is not None
    if field[0] >= facts.height or field[1] >= facts.width:
        return None  # the picture ends before the field does
    kernel = tuple(stage.layer.kernel_size)
    added = tuple(sum(s.layer.kernel_size[i] for s in facts.convs) for i in (0, 1))
    return QuestionDraft(
        f"How many pixels of the picture can one value of {stage.row.name} depend on?",
        (
            times(field),
            f"Each layer adds (k - 1) times all strides before it; up to {stage.row.name} that "
            f"makes {times(field)}.",
        ),
        [
            (times(kernel), "That is what it sees of its own input; that input has already seen more."),
            (times(facts.shape[:2]), "Not the whole picture: each value has a window of its own."),
            (
                times(added),
                "Kernels do not add up: neighbouring windows overlap, and strides in between stretch them.",
            ),
        ],
    )


def _flat_length(facts: Facts, chance: Random) -> QuestionDraft | None:
    stage = next((s for s in facts.stages if s.layer.type == "Flatten"), None)
    if stage is None:
        return None
    h, w, c = stage.before
    return QuestionDraft(
        f"Flatten gets maps of {times(stage.before)}. How long is its vector?",
        (f"{h * w * c:,}", f"{h} x {w} x {c}: every number is kept."),
        [
            (f"{h * w:,}", "The channels are written out as well."),
            (f"{c:,}", "One number for each map is what global average pooling gives."),
            (f"{h + w + c:,}", "The numbers multiply; they do not add up."),
        ],
    )


def _pick(stages: list[Stage], chance: Random) -> Stage | None:
    return chance.choice(stages) if stages else None


MAKERS: dict[str, tuple[Maker, ...]] = {
    "data": (_array_shape, _normalised_pixel, _one_hot, _last_slice),
    "architecture": (
        _conv_shape,
        _pool_shape,
        _conv_params,
        _dense_params,
        _receptive_field,
        _flat_length,
    ),
}
