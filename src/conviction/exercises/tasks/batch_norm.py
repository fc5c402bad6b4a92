"""Batch normalisation, in training and after it."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception

Normalised = tuple[np.ndarray, np.ndarray, np.ndarray]


def batch_norm(
    batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalises each channel, as Keras's BatchNormalization does before its scale and offset.

    In training each channel gets mean 0 and a variance of almost 1 over the images and places of the batch, and the
    moving mean and variance follow: 0.99 of the old and 0.01 of the batch's. Afterwards, the moving ones are used.

    Args:
        batch: (n, height, width, channels).
        mean: (channels,), the moving mean.
        variance: (channels,), the moving variance.
        training: Whether the network learns, or answers.

    Returns:
        (batch - a mean) / sqrt(a variance + 0.001), the new moving mean, and the new moving variance. The variance of
        a batch is the mean of squared differences.

    >>> batch = np.array([2.0, 4.0]).reshape(2, 1, 1, 1)
    >>> out, mean, _ = batch_norm(batch, np.array([0.0]), np.array([1.0]), training=True)
    >>> out.ravel().round(3).tolist(), mean.tolist()
    ([-1.0, 1.0], [0.03])
    """
    if training:
        of_batch, spread = batch.mean(axis=(0, 1, 2)), batch.var(axis=(0, 1, 2))
        out = (batch - of_batch) / np.sqrt(spread + 0.001)
        return out, 0.99 * mean + 0.01 * of_batch, 0.99 * variance + 0.01 * spread
    return (batch - mean) / np.sqrt(variance + 0.001), mean, variance


def _always_batch(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    out = batch_norm(batch, mean, variance, True)
    return out if training else (out[0], mean, variance)


def _always_moving(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    return (batch_norm(batch, mean, variance, False)[0], *batch_norm(batch, mean, variance, training)[1:])


def _axes(axes: tuple[int, ...]) -> object:
    """A wrong solution that normalises over other axes; the moving figures are right."""

    def wrong(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
        right = batch_norm(batch, mean, variance, training)
        if not training:
            return right
        centre, spread = batch.mean(axis=axes, keepdims=True), batch.var(axis=axes, keepdims=True)
        return (batch - centre) / np.sqrt(spread + 0.001), right[1], right[2]

    return wrong


def _forgets(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    out, new_mean, new_variance = batch_norm(batch, mean, variance, training)
    return out, mean + 0.99 * (new_mean - mean) / 0.01, variance + 0.99 * (new_variance - variance) / 0.01


def _replaces(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    out = batch_norm(batch, mean, variance, training)[0]
    return (out, batch.mean((0, 1, 2)), batch.var((0, 1, 2))) if training else (out, mean, variance)


def _unbiased(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    if not training:
        return batch_norm(batch, mean, variance, False)
    centre, spread = batch.mean((0, 1, 2)), batch.var((0, 1, 2), ddof=1)
    return (
        (batch - centre) / np.sqrt(spread + 0.001),
        0.99 * mean + 0.01 * centre,
        0.99 * variance + 0.01 * spread,
    )


def _added_after(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    right = batch_norm(batch, mean, variance, training)
    centre, spread = (batch.mean((0, 1, 2)), batch.var((0, 1, 2))) if training else (mean, variance)
    return (batch - centre) / (np.sqrt(spread) + 0.001), right[1], right[2]


def _never_moves(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    return batch_norm(batch, mean, variance, training)[0], mean, variance


def _moves_after(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    return (batch_norm(batch, mean, variance, training)[0], *batch_norm(batch, mean, variance, True)[1:])


def _no_root(batch: np.ndarray, mean: np.ndarray, variance: np.ndarray, training: bool) -> Normalised:
    right = batch_norm(batch, mean, variance, training)
    centre, spread = (batch.mean((0, 1, 2)), batch.var((0, 1, 2))) if training else (mean, variance)
    return (batch - centre) / (spread + 0.001), right[1], right[2]


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    two = np.array([2.0, 6.0]).reshape(2, 1, 1, 1)
    cases: list[Arguments] = [
        (two, np.array([1.0]), np.array([4.0]), False),
        (two, np.array([1.0]), np.array([3.0]), True),
        (np.array([[1.0, 10.0], [3.0, 30.0]]).reshape(2, 1, 1, 2), np.zeros(2), np.ones(2), True),
        (np.array([1.0, 2.0, 3.0, 6.0]).reshape(2, 1, 2, 1), np.zeros(1), np.ones(1), True),
    ]
    for training in (True, False):
        cases.append(
            (chance.normal(2, 3, (4, 3, 2, 3)), chance.normal(size=3), chance.random(3) + 0.5, training)
        )
    return cases


EXERCISE = Exercise(
    title="Batch normalisation",
    chapter="training",
    task="It behaves in one way while the network learns and in another at inference. Write both.",
    solution=batch_norm,
    cases=_cases,
    misconceptions=(
        Misconception(
            "always_batch",
            "You use the batch's own figures at inference, too. Then an answer would depend on which other "
            "images are asked about at the same time: use the moving mean and variance.",
            _always_batch,
            also=(lambda batch, mean, variance, training: batch_norm(batch, mean, variance, True),),
        ),
        Misconception(
            "always_moving",
            "You use the moving figures in training as well. There each batch is normalised by its own.",
            _always_moving,
        ),
        Misconception(
            "each_image",
            "You normalise each image on its own. The mean goes over the images, too: axis=(0, 1, 2).",
            _axes((1, 2)),  # type: ignore[arg-type]
        ),
        Misconception(
            "all_channels",
            "You normalise all channels together. Each channel has a mean and a variance of its own.",
            _axes((0, 1, 2, 3)),  # type: ignore[arg-type]
        ),
        Misconception(
            "images_alone",
            "You take the mean over the images alone, for each place. It goes over the places, too: axis=(0, 1, 2).",
            _axes((0,)),  # type: ignore[arg-type]
        ),
        Misconception(
            "forgets",
            "Your moving figures follow the batch too closely. They keep 0.99 of the old and take 0.01 of the batch, "
            "so that one odd batch changes little.",
            _forgets,
            also=(_replaces,),
        ),
        Misconception("never_moves", "Your moving figures do not change in training.", _never_moves),
        Misconception(
            "moves_after",
            "Your moving figures change at inference. They must change in training alone.",
            _moves_after,
        ),
        Misconception(
            "unbiased",
            "You divide by n - 1 for the variance. Batch normalisation divides by n, the mean of squared differences.",
            _unbiased,
        ),
        Misconception(
            "added_after",
            "You add 0.001 after the square root. It belongs under it.",
            _added_after,
        ),
        Misconception(
            "no_root",
            "You divide by the variance. It is its square root that has the scale of the values.",
            _no_root,
        ),
    ),
    hints=(
        "Two cases: if training: ... else: ...",
        "batch.mean(axis=(0, 1, 2)) has a number for each channel.",
        "0.001 is added to the variance before the square root, so that nothing is divided by 0.",
    ),
)
