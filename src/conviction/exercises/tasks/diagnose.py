"""Reading the curves of a training."""

from __future__ import annotations

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def diagnose(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    """Reads what the curves of a training say.

    Args:
        loss: The loss on the training images after each epoch.
        val_loss: The loss on the validation images after each epoch, as many numbers.

    Returns:
        The best epoch, counted from 1: the first with the lowest validation loss. And a verdict:
        "overfitting" if the validation loss ends more than 10% above its lowest while the training loss ends at its
        own lowest; "unstable" if the training loss ends more than 10% above its lowest; "still learning" if the best
        epoch is the last; "done" otherwise.

    >>> diagnose([0.9, 0.5, 0.3, 0.2], [0.8, 0.6, 0.7, 0.9])
    (2, 'overfitting')
    """
    best = val_loss.index(min(val_loss)) + 1
    if loss[-1] > 1.1 * min(loss):
        return best, "unstable"
    if val_loss[-1] > 1.1 * min(val_loss) and loss[-1] == min(loss):
        return best, "overfitting"
    return best, "still learning" if best == len(val_loss) else "done"


def _by_training(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    return loss.index(min(loss)) + 1, diagnose(loss, val_loss)[1]


def _largest(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    return val_loss.index(max(val_loss)) + 1, diagnose(loss, val_loss)[1]


def _last_lowest(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best = len(val_loss) - val_loss[::-1].index(min(val_loss))
    return best, diagnose(loss, val_loss)[1]


def _gap(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best, verdict = diagnose(loss, val_loss)
    return best, "overfitting" if val_loss[-1] > 1.1 * loss[
        -1
    ] else "done" if verdict == "overfitting" else verdict


def _last_step(loss: list[float], val_loss: list[float]) -> tuple[int, str]:
    best, verdict = diagnose(loss, val_loss)
    rose = len(val_loss) > 1 and val_loss[-1] > val_loss[-2]
    return (
        best,
        "overfitting" if rose and verdict != "unstable" else "done" if verdict == "overfitting" else verdict,
    )


def _cases() -> list[Arguments]:
    curves = [
        ([0.9, 0.5], [0.8, 0.6]),
        ([0.9, 0.4, 0.3], [0.8, 0.6, 0.61]),
        ([0.9, 0.5, 0.3, 0.2], [0.8, 0.6, 0.7, 0.9]),
        ([0.5, 0.2, 0.1], [0.5, 0.4, 0.4]),
        ([0.9, 0.5, 2.1], [0.9, 0.6, 1.9]),
        ([0.9, 0.5, 0.2], [0.8, 0.6, 0.55]),
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
            _by_training,
        ),
        Misconception(
            "largest",
            "You chose the highest validation loss. Losses are better when they are lower.",
            _largest,
        ),
        Misconception(
            "last_lowest",
            "Of two epochs with the same validation loss you took the later one. Take the first.",
            _last_lowest,
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
