"""Grad-CAM: where the network looked."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def grad_cam(maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Weighs the maps of the last convolution by how much the score of a class depends on each of them.

    Grad-CAM (Selvaraju et al., 2017): the weight of a map is the mean of its gradient over all places; the weighted
    maps are summed; what is below 0 becomes 0.

    Args:
        maps: (height, width, maps), what the last convolution answers.
        gradient: The gradient of the score of the class for them, of the same shape.

    Returns:
        (height, width), divided by its largest value, so that this is 1; all zeros if nothing is above 0.

    >>> grad_cam(np.array([[[1.0], [2.0]]]), np.array([[[3.0], [1.0]]])).tolist()
    [[0.5, 1.0]]
    """
    weights = gradient.mean(axis=(0, 1))
    heat = np.maximum(maps @ weights, 0)
    return heat / heat.max() if heat.max() > 0 else heat


def _scaled(heat: np.ndarray) -> np.ndarray:
    return heat / heat.max() if heat.max() > 0 else np.zeros_like(heat)


def _no_relu(maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    heat = maps @ gradient.mean(axis=(0, 1))
    return heat / heat.max() if heat.max() != 0 else heat


def _absolute(maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    return _scaled(np.abs(maps @ gradient.mean(axis=(0, 1))))


def _stretched(maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    heat = maps @ gradient.mean(axis=(0, 1))
    heat = heat - heat.min()
    return _scaled(heat)


def _sums_to_one(maps: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    heat = np.maximum(maps @ gradient.mean((0, 1)), 0)
    return heat / (heat.sum() or 1.0)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(4)
    cases: list[Arguments] = [
        (np.array([[[1.0], [2.0]]]), np.array([[[3.0], [1.0]]])),
        (np.array([[[1.0, 2.0], [3.0, 1.0]]]), np.array([[[1.0, -2.0], [3.0, 0.0]]])),
        (np.array([[[1.0, 0.0], [0.0, 2.0]]]), np.array([[[-1.0, 1.0], [-2.0, 1.0]]])),
        (np.array([[[1.0], [2.0]]]), np.array([[[-3.0], [-1.0]]])),
    ]
    for shape in ((3, 3, 4), (7, 5, 8)):
        cases.append((np.maximum(chance.normal(size=shape), 0), chance.normal(size=shape)))
    return cases


EXERCISE = Exercise(
    title="Grad-CAM",
    chapter="evaluating",
    task="A heatmap shows which places made the network choose a class.",
    solution=grad_cam,
    cases=_cases,
    misconceptions=(
        Misconception(
            "no_relu",
            "You keep values below 0. Grad-CAM shows what speaks for the class; what speaks against it becomes 0.",
            _no_relu,
        ),
        Misconception(
            "absolute",
            "You take absolute values, so what speaks against the class looks as if it spoke for it. Values below 0 "
            "become 0.",
            _absolute,
        ),
        Misconception(
            "stretched",
            "You stretch the map from its lowest to its highest value. Values below 0 become 0 instead.",
            _stretched,
        ),
        Misconception(
            "each_place",
            "You multiply gradient and map place by place. Grad-CAM has one weight for each map: the mean of its "
            "gradient.",
            lambda maps, gradient: _scaled(np.maximum((maps * gradient).sum(2), 0)),
        ),
        Misconception(
            "mean_of_maps",
            "You take the mean of the maps without weights. A map counts as much as the class depends on it.",
            lambda maps, gradient: _scaled(np.maximum(maps.mean(2), 0)),
        ),
        Misconception(
            "gradient_alone",
            "You show the gradient alone. It says how much a map would count; what is seen there is in the map.",
            lambda maps, gradient: _scaled(np.maximum(gradient.sum(2), 0)),
        ),
        Misconception(
            "relu_on_weights",
            "You drop maps with a weight below 0. They are subtracted; only their sum with the others is cut off at 0.",
            lambda maps, gradient: _scaled(np.maximum(maps @ np.maximum(gradient.mean((0, 1)), 0), 0)),
        ),
        Misconception(
            "no_guard",
            "Where nothing is above 0 you divide by 0. Return zeros there.",
            lambda maps, gradient: (
                np.maximum(maps @ gradient.mean((0, 1)), 0)
                / np.maximum(maps @ gradient.mean((0, 1)), 0).max()
            ),
        ),
        Misconception(
            "one_mean",
            "You take one mean of all gradients. Each map has a weight of its own: mean(axis=(0, 1)).",
            lambda maps, gradient: _scaled(np.maximum(maps.sum(2) * gradient.mean(), 0)),
        ),
        Misconception(
            "sums_to_one",
            "You divide by the sum. The largest value becomes 1, so divide by it.",
            _sums_to_one,
        ),
        Misconception(
            "not_divided",
            "You forgot to divide by the largest value.",
            lambda maps, gradient: np.maximum(maps @ gradient.mean((0, 1)), 0),
        ),
    ),
    hints=(
        "gradient.mean(axis=(0, 1)) has a weight for each map.",
        "maps @ weights sums the weighted maps at every place.",
        "np.maximum(..., 0), then divide by the largest value unless that is 0.",
    ),
)
