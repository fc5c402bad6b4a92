"""Questions about a network that begins with a backbone: the run's own, or else that of ``recipe=transfer``."""

from __future__ import annotations

from random import Random

from conviction.lesson.backbone import BackboneFacts
from conviction.lesson.facts import Facts
from conviction.lesson.planned import PlannedFacts
from conviction.lesson.question import Answer, Maker, QuestionDraft, plural, times
from conviction.model.backbones.kinds import STRIDE
from conviction.training.augment import active_augmentations
from conviction.training.views import views_kept

# Where a training has fewer epochs, "once" and "in every epoch" would be the same.
FEWEST_EPOCHS = 2


def _what_learns(facts: Facts, chance: Random) -> QuestionDraft | None:
    net, base = _standing(facts)
    output = net.layers[-1]
    if not base.frozen or net.trainable != output.trainable:
        return _what_is_left(net, base)
    values, units = base.rows[-2].output[0], output.output[0]
    return QuestionDraft(
        f"{_begin(facts, base)}, which is frozen. The only layer that learns is an output layer of "
        f"{plural(units, 'unit')}; it gets {plural(values, 'value')} for each picture. How many parameters learn?",
        (
            f"{net.trainable:,}",
            f"({values:,} + 1) x {units}: a weight for each value, and a bias for each unit.",
        ),
        [
            (f"{net.params:,}", "Those are all parameters; the backbone's stay as they were published."),
            (f"{base.row.params:,}", "Those are the backbone's, which stay as they are."),
            (f"{values * units:,}", "Each unit has a bias as well."),
        ],
    )


def _what_is_left(net: PlannedFacts, base: BackboneFacts) -> QuestionDraft | None:
    """Of a backbone that learns in part, or has several layers after it."""
    fixed = base.row.params - base.row.trainable
    wrong: list[Answer] = [
        (f"{net.params:,}", "That would be all of them."),
        (f"{fixed:,}", "Those are the parameters that stay as they are."),
        (f"{base.row.params:,}", "Those are all of the backbone's, whether they learn or not."),
    ]
    # All may learn; and layers after it may have averages of their own, which do not learn either.
    if not fixed or net.params - fixed != net.trainable:
        return None
    return QuestionDraft(
        f"The network has {plural(net.params, 'parameter')}. Of its backbone, {fixed:,} stay as they were published. "
        "How many parameters learn?",
        (f"{net.trainable:,}", f"{net.params:,} - {fixed:,}: whatever is not kept fixed learns."),
        wrong,
    )


def _backbones_share(facts: Facts, chance: Random) -> QuestionDraft:
    net, base = _standing(facts)
    rest = net.params - base.row.params
    return QuestionDraft(
        f"{_begin(facts, base)}. That has {plural(base.row.params, 'parameter')}, and the layers after it have "
        f"{rest:,}. What share of all parameters is the backbone's?",
        (f"{base.share:.2%}", f"{base.row.params:,} of {net.params:,}."),
        [
            (f"{1 - base.share:.2%}", "That is the share of the layers after it."),
            (f"{rest / base.row.params:.2%}", "That divides one part by the other, not by the whole."),
            ("50.00%", "Two parts of a network need not be equally large."),
        ],
    )


def _features_of_a_picture(facts: Facts, chance: Random) -> QuestionDraft | None:
    _, base = _standing(facts)
    (height, width, maps), after = base.maps, base.rows[2]
    if after.kind not in ("GlobalAveragePooling2D", "Flatten"):
        return None
    every, mean = f"{height * width * maps:,}", f"{maps:,}"
    pooled = after.kind == "GlobalAveragePooling2D"
    follows = "Global average pooling" if pooled else "Flatten"
    right = (mean, "The mean of each map: one number says how much of its pattern is in the picture.")
    wrong = (every, "That is every value of every map, as Flatten would keep them.")
    if not pooled:
        right = (every, f"{height} x {width} x {maps:,}: every value of every map.")
        wrong = (mean, "One number for each map is what global average pooling gives.")
    return QuestionDraft(
        f"{base.title} turns a picture into maps of {times(base.maps)}. {follows} comes next. How many numbers are "
        "left for each picture?",
        right,
        [
            wrong,
            (f"{height * width:,}", "That is the size of one map."),
            (f"{height + width + maps:,}", "Sizes of maps are multiplied, never added up."),
        ],
    )


def _how_often_computed(facts: Facts, chance: Random) -> QuestionDraft:
    net, base = _standing(facts)
    epochs = max(FEWEST_EPOCHS, net.recipe.training.epochs)
    each = f"{epochs} times"
    steps = f"{epochs * net.steps:,} times"
    always: Answer = ("once", "It is frozen, so it makes the same of the picture every time.")
    again: Answer = (each, "Many tutorials do that: every epoch computes the same again.")
    spec = net.recipe.training.model_copy(update={"epochs": epochs})
    kept = views_kept(net.recipe.model_copy(update={"training": spec}))
    right, wrong, learns = always, [again], "which is frozen"
    if active_augmentations(net.recipe.augmentation):
        learns = "which is frozen, and pictures are varied"
        wrong = [
            ("once", "That would be enough if the epochs did not show different versions of the picture.")
        ]
        right = (each, "Each epoch shows another version of the picture.")
        if kept and kept < epochs:
            right = (
                f"{kept} times",
                "So many varied versions of it are kept, and the epochs take turns with them.",
            )
            wrong.append(
                (each, "That would be a new version for every epoch: better still, and much slower.")
            )
    if not base.frozen:
        learns = f"and {base.learns}"
        wrong = [("once", "That is enough only while the backbone makes the same of the picture.")]
        right = (
            each,
            "Its weights change with every step, and what it makes of the picture changes with them.",
        )
    return QuestionDraft(
        f"{_begin(facts, base)}, {learns}. In a training of {epochs} epochs, how often does a training picture have to "
        "go through the backbone?",
        right,
        [
            *wrong,
            (steps, "That counts the steps; each of them sees only the pictures of its own batch."),
            (
                "never",
                "Only the weights were published; nobody has computed anything from your pictures yet.",
            ),
        ],
    )


def _smaller_pictures(facts: Facts, chance: Random) -> QuestionDraft:
    net, base = _standing(facts)
    blocks = chance.choice([n for n in (2, 3, 4, 5) if (n, n) != base.maps[:2]])
    side = blocks * STRIDE
    return QuestionDraft(
        f"{base.title} turns a picture of {net.height}x{net.width} pixels into maps of {times(base.maps[:2])}. What "
        f"size are its maps of a picture of {side}x{side} pixels?",
        (times((blocks, blocks)), f"It halves a picture five times, which divides each side by {STRIDE}."),
        [
            (times((side // 2, side // 2)), "It halves a picture more than once."),
            (times((side, side)), "Its strides shrink a picture, whatever its size is."),
            (times((1, 1)), f"That is what is left of {STRIDE}x{STRIDE} pixels."),
        ],
    )


def _standing(facts: Facts) -> tuple[PlannedFacts, BackboneFacts]:
    """The network that is asked about, and its backbone."""
    net = facts.transfer
    assert net.backbone is not None
    return net, net.backbone


def _begin(facts: Facts, base: BackboneFacts) -> str:
    """The start of a sentence about the network, which may be one that the learner has not got yet."""
    own = facts.backbone is not None
    return f"{'This network' if own else 'With recipe=transfer, the network'} begins with {base.title}"


MAKERS: dict[str, tuple[Maker, ...]] = {
    "transfer": (
        _what_learns,
        _backbones_share,
        _features_of_a_picture,
        _how_often_computed,
        _smaller_pictures,
    ),
}
