"""Reading the curves of a training."""

from __future__ import annotations

from collections.abc import Callable

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def diagnose(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    """Reads what the curves of a training say.

    Args:
        loss: The loss on the training images after each epoch.
        val_loss: The loss on the validation images after each epoch, as many numbers.

    Returns:
        The best epoch, counted from 1: the first with the lowest validation loss. And a verdict,
        the first of these that is true: "unstable" if the training loss ends more than 10% above its lowest;
        "overfitting" if the validation loss ends more than 10% above its lowest while the training loss ends at its
        own lowest; "still learning" if the best epoch is the last; "done".

    >>> diagnose([0.9, 0.5, 0.3, 0.2], [0.8, 0.6, 0.7, 0.9])
    (2, 'overfitting')
    """
    best = val_loss.index(min(val_loss)) + 1
    if loss[-1] > 1.1 * min(loss):
        return best, "unstable"
    if val_loss[-1] > 1.1 * min(val_loss) and loss[-1] == min(loss):
        return best, "overfitting"
    return best, "still learning" if best == len(val_loss) else "done"


def _with(
    best: Callable[[list[float], list[float]], int],
) -> Callable[[list[float], list[float]], tuple[int, str]]:
    """A wrong solution with another best epoch, on which "still learning" depends as well."""

    def wrong(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
        epoch, verdict = best(loss, val_loss), diagnose(loss, val_loss)[1]
        if verdict in ("done", "still learning"):
            verdict = "still learning" if epoch == len(val_loss) else "done"
        return epoch, verdict

    return wrong


def _alone(
    best: Callable[[list[float], list[float]], int],
) -> Callable[[list[float], list[float]], tuple[int, str]]:
    """A wrong solution with another best epoch and the right verdict."""
    return lambda loss, val_loss: (best(loss, val_loss), diagnose(loss, val_loss)[1])


def _of_training(loss: list[float], val_loss: list[float]) -> int:
    return loss.index(min(loss)) + 1


def _of_the_highest(loss: list[float], val_loss: list[float]) -> int:
    return val_loss.index(max(val_loss)) + 1


def _last_lowest(loss: list[float], val_loss: list[float]) -> int:
    return len(val_loss) - val_loss[::-1].index(min(val_loss))


def _named(best: int, val_loss: list[float], *, unstable: bool, overfitting: bool) -> tuple[int, str]:
    if unstable:
        return best, "unstable"
    return best, "overfitting" if overfitting else "still learning" if best == len(val_loss) else "done"


def _gap(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best, verdict = diagnose(loss, val_loss)
    return _named(best, val_loss, unstable=verdict == "unstable", overfitting=val_loss[-1] > 1.1 * loss[-1])


def _last_step(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best, verdict = diagnose(loss, val_loss)
    return _named(best, val_loss, unstable=verdict == "unstable", overfitting=val_loss[-1] > val_loss[-2])


def _no_tolerance(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best = diagnose(loss, val_loss)[0]
    rises = val_loss[-1] > min(val_loss) and loss[-1] == min(loss)
    return _named(best, val_loss, unstable=loss[-1] > min(loss), overfitting=rises)


def _added(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best = diagnose(loss, val_loss)[0]
    rises = val_loss[-1] > min(val_loss) + 0.1 and loss[-1] == min(loss)
    return _named(best, val_loss, unstable=loss[-1] > min(loss) + 0.1, overfitting=rises)


def _learning_first(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best, verdict = diagnose(loss, val_loss)
    return best, "still learning" if best == len(val_loss) else verdict


def _unstable_by_validation(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best = diagnose(loss, val_loss)[0]
    worse = val_loss[-1] > 1.1 * min(val_loss)
    falls = loss[-1] == min(loss)
    return _named(best, val_loss, unstable=worse and not falls, overfitting=worse and falls)


def _training_ignored(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best, verdict = diagnose(loss, val_loss)
    worse = val_loss[-1] > 1.1 * min(val_loss)
    return _named(best, val_loss, unstable=verdict == "unstable", overfitting=worse)


def _falls_at_the_end(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best, verdict = diagnose(loss, val_loss)
    worse = val_loss[-1] > 1.1 * min(val_loss) and loss[-1] < loss[-2]
    return _named(best, val_loss, unstable=verdict == "unstable", overfitting=worse)


def _cases() -> list[Arguments]:
    curves = [
        ([0.9, 0.5], [0.8, 0.6]),
        ([0.9, 0.4, 0.3], [0.8, 0.6, 0.61]),
        ([0.9, 0.5, 0.3, 0.2], [0.8, 0.6, 0.7, 0.9]),
        ([0.5, 0.2, 0.1], [0.5, 0.4, 0.4]),
        ([0.9, 0.5, 2.1], [0.9, 0.6, 1.9]),
        ([0.9, 0.5, 0.2], [0.8, 0.6, 0.55]),
        ([0.05, 0.02], [0.03, 0.05]),
        ([0.04, 0.02, 0.03], [0.05, 0.04, 0.04]),
        ([0.9, 0.5, 0.6], [0.8, 0.6, 0.55]),
        ([0.9, 0.5, 0.6], [0.8, 0.6, 0.61]),
        ([0.9, 0.5, 0.52, 0.51], [0.8, 0.6, 0.7, 0.7]),
        ([0.9, 0.5, 0.54], [0.8, 0.6, 0.7]),
        ([1.2, 0.9, 0.7, 0.52, 0.4, 0.31, 0.22], [1.1, 0.9, 0.74, 0.66, 0.65, 0.7, 0.79]),
        ([1.2, 0.9, 0.7, 0.52, 0.5, 0.49, 0.48], [1.1, 0.9, 0.74, 0.66, 0.65, 0.66, 0.67]),
    ]
    return [(loss, val_loss) for loss, val_loss in curves]


EXERCISE = Exercise(
    title="Read the curves",
    chapter="training",
    task="Two columns of numbers tell most of what happened in a training.",
    solution=diagnose,
    cases=_cases,
    misconceptions=(
        Misconception(
            "from_zero",
            "You count epochs from 0. The first one is 1.",
            lambda loss, val_loss: (diagnose(loss, val_loss)[0] - 1, diagnose(loss, val_loss)[1]),
        ),
        Misconception(
            "by_training",
            "You chose the epoch by the training loss. That nearly always falls; what counts is how the network does "
            "on images that it has not learned from.",
            _with(_of_training),
            also=(_alone(_of_training),),
        ),
        Misconception(
            "largest",
            "You chose the highest validation loss. Losses are better when they are lower.",
            _with(_of_the_highest),
            also=(_alone(_of_the_highest),),
        ),
        Misconception(
            "last_lowest",
            "Of two epochs with the same validation loss you took the later one. Take the first.",
            _with(_last_lowest),
            also=(_alone(_last_lowest),),
        ),
        Misconception(
            "no_tolerance",
            "You forgot the 10%. Losses tremble, so a curve may end a little above its lowest.",
            _no_tolerance,
        ),
        Misconception(
            "added",
            "You add 0.1. 10% above its lowest is 1.1 times that, which is less for a small loss.",
            _added,
        ),
        Misconception(
            "learning_first",
            "You ask whether the best epoch is the last before you ask whether training is unstable. The task asks for "
            "'unstable' whatever the validation loss does.",
            _learning_first,
        ),
        Misconception(
            "unstable_by_validation",
            "You look at the validation loss to call a training unstable. It is the training loss that counts.",
            _unstable_by_validation,
        ),
        Misconception(
            "training_ignored",
            "You call it overfitting although the training loss does not end at its own lowest.",
            _training_ignored,
        ),
        Misconception(
            "falls_at_the_end",
            "You ask whether the training loss fell in the last step. It has to end at its own lowest.",
            _falls_at_the_end,
        ),
        Misconception(
            "gap",
            "You call it overfitting when the two losses are apart. Training loss is nearly always lower; overfitting "
            "in this task is a validation loss that rises again.",
            _gap,
        ),
        Misconception(
            "last_step",
            "You look at the last step alone. Validation loss trembles: compare its end with its lowest, and ask for "
            "10%.",
            _last_step,
        ),
    ),
    hints=(
        "val_loss.index(min(val_loss)) is the first place of the lowest, counted from 0.",
        "Ask for 'unstable' first: then the other questions are about a training that went well.",
        "More than 10% above its lowest: val_loss[-1] > 1.1 * min(val_loss).",
    ),
)
