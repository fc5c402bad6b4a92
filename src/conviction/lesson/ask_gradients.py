"""Questions about gradients: with small numbers that are drawn at random."""

from __future__ import annotations

from random import Random

from conviction.lesson.facts import Facts
from conviction.lesson.question import Maker, QuestionDraft


def _chain(facts: Facts, chance: Random) -> QuestionDraft:
    one, other = chance.choice([(2, 3), (3, 4), (4, 5), (0.5, 8)])
    return QuestionDraft(
        f"When x grows by 1, y grows by {one:g}; when y grows by 1, the loss grows by {other:g}. By how much does the "
        "loss grow with x?",
        (f"{one * other:g}", "Slopes along a chain are multiplied."),
        [
            (f"{one + other:g}", "Slopes are added where two chains meet, not along one."),
            (f"{other:g}", "That is the slope for y; x moves y as well."),
            (f"{other / one:g}", "Multiply: the more y follows x, the more the loss does."),
        ],
    )


def _difference(facts: Facts, chance: Random) -> QuestionDraft:
    p = chance.choice([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
    return QuestionDraft(
        f"Softmax gives the right class a probability of {p:g}. What is the gradient of the cross-entropy for the "
        "number that entered softmax for this class?",
        (
            f"{p - 1:.1f}",
            f"p - y = {p:g} - 1. It is below 0: were the number larger, the loss would be lower.",
        ),
        [
            (f"{1 - p:.1f}", "The sign is the other one: p - y, and not y - p."),
            (
                f"{-1 / p:.1f}",
                "That is the gradient for the probability itself; through softmax, it becomes p - y.",
            ),
            (f"{p:.1f}", "That is the gradient for a class that is wrong: p - 0."),
        ],
    )


def _gate(facts: Facts, chance: Random) -> QuestionDraft:
    before, above = chance.choice([-3, -2, -1]), chance.choice([-4, 5, 7])
    return QuestionDraft(
        f"A value is {before} before ReLU, and the gradient that arrives from above is {above}. What is the gradient "
        "for the value?",
        ("0", "The gate is closed: near this value, ReLU answers 0 whatever happens."),
        [
            (f"{above}", "That would pass if the value were above 0."),
            (f"{before * above}", "The value is not multiplied; only its sign decides."),
            (
                f"{max(above, 0) or -above}",
                "The sign of the gradient does not open the gate; that of the value does.",
            ),
        ],
    )


def _route(facts: Facts, chance: Random) -> QuestionDraft:
    window = chance.sample([1, 2, 3, 5, 8], 4)
    above = chance.choice([4, 8, 12])
    least = min(window)
    return QuestionDraft(
        f"A pooling window holds {', '.join(map(str, window))}, and the gradient for its maximum is {above}. What is "
        f"the gradient for the {least}?",
        ("0", "Only the largest value had a part in the result, so it gets the whole gradient."),
        [
            (f"{above // 4}", "That would be average pooling, where each of the four has its share."),
            (f"{above}", "That is for the largest value alone."),
            (f"{above * least}", "The value is not multiplied: the slope of a maximum is 1 or 0."),
        ],
    )


def _vanishing(facts: Facts, chance: Random) -> QuestionDraft:
    layers = chance.choice([5, 8, 10])
    return QuestionDraft(
        f"On its way back a gradient passes {layers} layers, and each makes it half as large. How much is left?",
        (f"1/{2**layers:,}", f"Halved {layers} times: 1 divided by 2 to the {layers}."),
        [
            (
                f"1/{2 * layers}",
                "Each layer multiplies; that is not the same as dividing once by their number.",
            ),
            ("1/2", "Each of the layers halves it again."),
            (f"1/{layers**2}", "It is 2 to the number of layers, not the square of it."),
        ],
    )


MAKERS: dict[str, tuple[Maker, ...]] = {
    "backpropagation": (_chain, _difference, _gate, _route, _vanishing),
}
