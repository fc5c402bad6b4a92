"""A verdict in words: made from its values, and never parsed back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from conviction.evaluation import Gap, Verdict
from conviction.evaluation.gap import LARGE, NORMAL
from conviction.evaluation.verdict import ENOUGH_POWER
from conviction.training import Curves

MEANINGS = (
    "Textbooks use the word overfitting in two ways: for a validation loss that has turned, so that more epochs make "
    "unseen images worse, and for training accuracy far above that on unseen images."
)


def verdict_sentences(verdict: Verdict) -> list[str]:
    """The gap; the verdict with its reasons; and, where it is about overfitting, what that word means."""
    sentences = [gap_sentence(verdict.gap), f"Verdict: {verdict.name}. {reasons(verdict)}"]
    if verdict.kind in ("overfitting", "memorising", "large gap"):
        sentences.append(f"{MEANINGS} {_which_meaning(verdict)}")
    return sentences


def gap_sentence(gap: Gap) -> str:
    """Both accuracies, and the interval of their difference."""
    text = (
        f"Accuracy is {gap.train_accuracy:.2%} on the training images"
        f"{' (while the weights still moved)' if gap.measured == 'in training' else ''} and {gap.unseen_accuracy:.2%} "
        f"on the {gap.unseen} images"
    )
    low, high, points = 100 * gap.low, 100 * gap.high, 100 * gap.size
    interval = f"95% interval {low:.1f} to {high:.1f}"
    if gap.high < 0:
        return f"{text}: the {gap.unseen} images are easier by {-points:.1f} points ({interval})."
    if gap.low <= 0:
        few = _images(gap.unseen_images, gap.unseen)
        return f"{text}: {few} cannot distinguish this difference from zero ({interval})."
    return f"{text}: a gap of {points:.1f} points ({interval})."


def reasons(verdict: Verdict) -> str:
    """Why it is this verdict, without its name."""
    about_curves = curves_sentence(verdict.curves, verdict.smoothing)
    return {
        "memorising": lambda: f"{_memorising(verdict.gap)} {_curves_beside(verdict)}",
        "large gap": lambda: f"{_large_gap(verdict.gap)} {_curves_beside(verdict)}",
        "cannot tell": lambda: f"{about_curves} {_cannot_tell(verdict)}",
        "fitting well": lambda: f"{about_curves} {_could_have_shown(verdict)}",
    }.get(verdict.kind, lambda: about_curves)()


def curves_sentence(curves: Curves, smoothing: float = 0.0) -> str:
    """What the curves show, with their numbers.

    Args:
        curves: What is put into words.
        smoothing: ``training.label_smoothing`` of their losses.
    """
    loss = f"Validation loss (of targets smoothed by {smoothing:g})" if smoothing else "Validation loss"
    return _CASES[curves.case](curves, curves.numbers, loss)


def live_sentence(verdict: Verdict) -> str:
    """For a page that shows a training in progress: the reasons, after the gap where that is one of them."""
    about_gap = f"{gap_sentence(verdict.gap)} " if verdict.kind in ("memorising", "large gap") else ""
    return about_gap + reasons(verdict)


def _memorising(gap: Gap) -> str:
    error = 1.0 - gap.unseen_accuracy
    return (
        f"The gap is more than {100 * NORMAL:.0f} points even at the lower end of its interval, and makes up "
        f"{min(1.0, gap.of_the_error):.0%} of the {error:.1%} error on {gap.unseen} images: much of what the network "
        "has learned is about its training images alone. More images to learn from help most."
    )


def _large_gap(gap: Gap) -> str:
    return (
        f"The gap is more than {100 * NORMAL:.0f} points even at the lower end of its interval, yet the larger part of "
        f"the error on {gap.unseen} images occurs on training images as well: the network lacks both fit and images."
    )


def _curves_beside(verdict: Verdict) -> str:
    curves = verdict.curves
    if curves.kind == "settled" and verdict.power.turn < ENOUGH_POWER:
        return f"{_capital(_those(curves.images))} cannot tell whether validation loss has turned."
    return curves_sentence(curves, verdict.smoothing)


def _cannot_tell(verdict: Verdict) -> str:
    curves, gap, power = verdict.curves, verdict.gap, verdict.power
    reasons = []
    if power.turn < ENOUGH_POWER:
        why = "a loss that has risen by a quarter would be noticed " + _often(power.turn)
        if power.turn == 0.0:
            why = (
                f"{_epochs(curves.epochs)} {'is' if curves.epochs == 1 else 'are'} too few for a turn to show"
            )
        reasons.append(f"{_those(curves.images)} cannot tell whether it has turned: {why}")
    if gap.may_be_large:
        reasons.append(
            f"{_those(gap.unseen_images, gap.unseen)} cannot tell whether the gap is small: it may be as large as "
            f"{100 * gap.high:.0f} points"
        )
    elif power.gap < ENOUGH_POWER:
        reasons.append(
            f"{_those(gap.unseen_images, gap.unseen)} would show a gap of {100 * LARGE:.0f} points only "
            f"{_often(power.gap)}"
        )
    text = "; and ".join(reasons)
    more = "validation" if power.turn < ENOUGH_POWER else gap.unseen
    return f"{_capital(text)}. More {more} images would tell."


def _could_have_shown(verdict: Verdict) -> str:
    return (
        f"A loss that had risen by a quarter would have been noticed {_often(verdict.power.turn)}, and a gap of "
        f"{100 * LARGE:.0f} points lies outside the interval."
    )


def _which_meaning(verdict: Verdict) -> str:
    if verdict.kind == "overfitting":
        return "Both hold here." if verdict.gap.is_large else "The first holds here."
    return "The second holds here."


def _often(power: float) -> str:
    # Rounding must not turn less than half into half.
    return f"in {min(99, int(100 * power))} of 100 such runs"


def _those(images: int, part: str = "validation") -> str:
    return f"this one {part} image" if images == 1 else f"these {images:,} {part} images"


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _images(n: int, part: str) -> str:
    return f"{n:,} {part} image{'' if n == 1 else 's'}"


def _epochs(n: int) -> str:
    return "one epoch" if n == 1 else f"{n} epochs"


Words = Callable[[Curves, Mapping[str, float], str], str]


def _turned(c: Curves, n: Mapping[str, float], loss: str) -> str:
    change = "rose" if n["val_accuracy"] > n["val_accuracy_at_turn"] else "fell"
    return (
        f"{loss} was lowest in epoch {c.since} ({n['val_loss_lowest']:.4f}) and is {n['val_loss']:.4f} now, while "
        f"training loss fell from {n['loss_at_turn']:.4f} to {n['loss']:.4f}. The rise of {n['rise']:.4f} is "
        f"{n['rise'] / n['noise']:.1f} times what chance explains with {_images(c.images, 'validation')}. Validation "
        f"accuracy {change} from {n['val_accuracy_at_turn']:.2%} to {n['val_accuracy']:.2%}."
    )


def _not_a_number(c: Curves, n: Mapping[str, float], loss: str) -> str:
    return f"The loss is no longer a number in epoch {c.epochs}."


def _training_loss_rose(c: Curves, n: Mapping[str, float], loss: str) -> str:
    return (
        f"Training loss was {n['loss_lowest']:.4f} in epoch {n['loss_lowest_epoch']:.0f} and is {n['loss']:.4f} now: "
        "the steps are too long to stay where it was low."
    )


def _after_few(c: Curves, n: Mapping[str, float], loss: str) -> str:
    name = f"{loss[0].lower()}{loss[1:]}"
    return (
        f"After {_epochs(c.epochs)} {name} is {n['val_loss']:.4f} (guessing gives {n['loss_guessing']:.4f})"
    )


def _nothing_learned(c: Curves, n: Mapping[str, float], loss: str) -> str:
    return f"{_after_few(c, n, loss)}: nothing has been learned yet."


def _one_epoch(c: Curves, n: Mapping[str, float], loss: str) -> str:
    return (
        f"{_after_few(c, n, loss)}. One epoch shows only that the network learns; it takes several to see whether the "
        "loss turns."
    )


def _stuck(c: Curves, n: Mapping[str, float], loss: str) -> str:
    return (
        f"Training loss is {n['loss']:.4f} (guessing gives {n['loss_guessing']:.4f}) and has hardly fallen "
        f"since epoch {n['stuck_since']:.0f}; training accuracy is {n['accuracy']:.2%}. The network has not learned "
        "even the images it sees."
    )


def _crawling(c: Curves, n: Mapping[str, float], loss: str) -> str:
    return (
        f"{_stuck(c, n, loss)} The loss fell in every epoch, but only a little: the steps may be too short."
    )


def _falling(c: Curves, n: Mapping[str, float], loss: str) -> str:
    over = int(n["over"])
    return (
        f"{loss} was still falling, to {n['val_loss']:.4f} in epoch {c.epochs}: it fell by {n['fall']:.4f} in the last "
        f"{'epoch' if over == 1 else f'{over} epochs'}, more than chance explains ({n['noise']:.4f}). More epochs "
        "should help."
    )


def _settled(c: Curves, n: Mapping[str, float], loss: str) -> str:
    lowest = int(n["lowest_epoch"])
    if lowest == c.epochs:
        return f"{loss} was lowest in the last epoch, {lowest} ({n['val_loss']:.4f})."
    return (
        f"{loss} was lowest in epoch {lowest} ({n['val_loss_lowest']:.4f}) and ended at {n['val_loss']:.4f}, a "
        f"difference that chance can explain with {_images(c.images, 'validation')}."
    )


_CASES: dict[str, Words] = {
    "turned": _turned,
    "not a number": _not_a_number,
    "training loss rose": _training_loss_rose,
    "nothing learned": _nothing_learned,
    "one epoch": _one_epoch,
    "stuck": _stuck,
    "crawling": _crawling,
    "falling": _falling,
    "settled": _settled,
}
