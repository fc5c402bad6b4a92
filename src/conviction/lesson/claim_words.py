"""Claims in sentences: the question before a guess, and what was measured after it."""

from __future__ import annotations

from conviction.audience import listening, option
from conviction.lesson.claims import Claim
from conviction.lesson.record import Direction, Effect, Measurement, effect_numbers

# What can be guessed, from less to more.
ANSWERS: tuple[Direction, ...] = ("lower", "no detectable difference", "higher")


def claim_question(claim: Claim) -> str:
    """What is asked before anything is shown."""
    return f"{claim.change}: compared with {claim.against}, the {claim.measure_name} is ..."


def evidence(claim: Claim, measurement: Measurement) -> str:
    """What was measured on one data set."""
    effect = measurement.differences[claim.measure]
    return (
        f"{measurement.data}: {effect_numbers(claim.measure, effect)}, {effect.direction} "
        f"({measurement.seeds} pairs of seeds; {measurement.setting})."
    )


def teaching(claim: Claim) -> str:
    """What lessons say, and whether it agrees with what was measured first."""
    return f'You will read elsewhere: "{claim.taught}" {_agreement(claim.says, claim.effect)}'


def _agreement(says: Direction, effect: Effect) -> str:
    if says == effect.direction:
        return "The direction agrees with this measurement; see for yourself how large it is."
    if effect.direction == "no detectable difference":
        return "Here, these seeds detected no difference; if there is one, it is too small for them."
    if says == "no detectable difference":
        return f"Here, it is {effect.direction}."
    return "Here, it is the other way round."


def verdict(guess: Direction, effect: Effect) -> str:
    """Whether what was guessed is what was measured."""
    measured = effect.direction
    if guess == measured == "no detectable difference":
        return "You expected no difference, and none was detected. That does not show that there is none."
    if guess == measured:
        return f"You expected it to be {guess}, and it is."
    if measured == "no detectable difference":
        return f"You expected it to be {guess}. No difference was detected, so your guess is neither shown nor refuted."
    if guess == "no detectable difference":
        return f"You expected no difference; it is {measured}."
    return f"You expected it to be {guess}; it is {measured}."


def own_evidence(claim: Claim, effect: Effect | None, seeds: int) -> str:
    """What an experiment of the learner's own says of a claim."""
    if effect is None:
        return f"Your images: in at least one training the {claim.measure_name} was not a number; nothing is compared."
    numbers = effect_numbers(claim.measure, effect)
    if seeds < 2:
        return f"Your images: {numbers} with one seed, which shows nothing yet."
    return f"Your images: {numbers}, {effect.direction} ({seeds} pairs of seeds)."


def comparison(claim: Claim, effect: Effect | None, seeds: int) -> str:
    """Whether it is on the learner's images as on those that were measured first."""
    if effect is None or seeds < 2:
        return ""
    first, here, there = claim.measurements[0], effect.direction, claim.effect.direction
    if here == there == "no detectable difference":
        return f"None was detected on {first.data} either."
    if here == there:
        return f"That is what was measured on {first.data}, too."
    if here == "no detectable difference":
        return (
            f"On {first.data} it was {there}. None was detected here, which does not show that there is none: more "
            f"seeds make the interval narrower."
        )
    return f"On {first.data} there was {there}." if "no " in there else f"On {first.data} it was {there}."


def command_of(claim: Claim) -> str:
    """The command that measures it again on other images; empty if none does."""
    if claim.experiment is None:
        return ""
    if listening() == "python":
        return f'conviction.explore(SOURCE, claim="{claim.name}")'
    return f"conviction explore SOURCE {option('claim')} {claim.name}"
