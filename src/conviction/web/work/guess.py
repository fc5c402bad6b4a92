"""What a learner expects of an experiment, and whether it was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conviction.experiments.store import KeptFinding

NO_DIFFERENCE, NO_GUESS = "no difference", ""


@dataclass(frozen=True)
class Expectation:
    """What is expected: that this arm differs from the base, and how; without an arm, that none differs."""

    arm: str = ""
    better: bool = False

    @classmethod
    def of(cls, value: str) -> Expectation | None:
        """From what ``Desk.guesses`` has: ``+arm``, ``-arm`` or ``NO_DIFFERENCE``; None where nothing is expected."""
        if value in (NO_GUESS, NO_DIFFERENCE):
            return cls() if value else None
        return cls(value[1:], better=value[0] == "+")


def guess_text(value: str) -> str:
    """A guess in words."""
    guess = Expectation.of(value)
    if guess is None:
        return "nothing"
    return f"{guess.arm}, {_direction(better=guess.better)}" if guess.arm else NO_DIFFERENCE


def judged(value: str, arms: Sequence[KeptFinding]) -> str:
    """Whether what was expected was found, in a sentence.

    Args:
        value: A guess as ``Desk.guesses`` has it.
        arms: Of ``result.json``.
    """
    guess = Expectation.of(value)
    if guess is None:
        return "You expected nothing."
    expected = _effect(guess.arm, better=guess.better) if guess.arm else NO_DIFFERENCE
    # By the label of an arm: whether it is better, or None where no difference was detected.
    better = {arm.label: arm.accuracy.mean > 0 if arm.detected else None for arm in arms}
    if not better:
        return f"You expected {expected}."
    if not guess.arm:
        effects = [
            _effect(arm, better=is_better) for arm, is_better in better.items() if is_better is not None
        ]
        if effects:
            return (
                f"You expected no difference; what was found: {', '.join(effects)}. Your guess was not right."
            )
        return "You expected no difference, and none was found. That does not show that there is none."
    if guess.arm not in better:
        return f"You expected {expected}; that was not tried."
    if better[guess.arm] is None:
        return f"You expected {expected}; no difference was found there, so your guess is neither shown nor refuted."
    if better[guess.arm] == guess.better:
        return f"You expected {expected}, and that is what was found."
    return f"You expected {expected}; what was found is the opposite. Your guess was not right."


def _direction(*, better: bool) -> str:
    return "better" if better else "worse"


def _effect(arm: str, *, better: bool) -> str:
    return f"{arm} {_direction(better=better)}"
