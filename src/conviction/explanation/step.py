"""One step of gradient descent on one picture: the loss before and after, without changing the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.asked import to_numpy
from conviction.explanation.differentiate import (
    check_end,
    cross_entropy,
    cross_entropy_of,
    differentiate,
    logits_from,
)
from conviction.explanation.forward import check_pixels

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Descent:
    """What steps of gradient descent do to the loss of one picture, each from the network as it is.

    Attributes:
        label: The class of the picture.
        rates: Of the steps; the first is 0, the network as it is.
        losses: The cross-entropy after each, float64 (rates,), in nats.
        probabilities: After each, float32 (rates, classes).
        squared_norm: Of the gradient: by how much the loss falls for each unit of the rate, as long as the step is
            small.
        weights: How many numbers are changed.
    """

    label: int
    rates: tuple[float, ...]
    losses: np.ndarray
    probabilities: np.ndarray
    squared_norm: float
    weights: int


def descend(model: keras.Sequential, pixels: np.ndarray, label: int, rates: Sequence[float]) -> Descent:
    """Steps of plain gradient descent on one picture: every weight that is trained, minus rate times its gradient.

    In inference mode, as the network answers. An optimiser such as Adam steps differently, over a batch of pictures.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is; it is not changed.
        pixels: One picture, (height, width, channels) uint8.
        label: The class of the picture, in [0, classes).
        rates: Positive and finite.

    Raises:
        RequestError: The picture does not fit the network, or a label or rate is out of range.
    """
    check_pixels(model, pixels)
    check_end(model)
    classes = max(2, model.output_shape[-1])
    if not 0 <= label < classes:
        raise RequestError(f"label: expected a class from 0 to {classes - 1}; got {label}.")
    wrong = next((rate for rate in rates if not (np.isfinite(rate) and rate > 0)), None)
    if wrong is not None:
        raise RequestError(f"rates: expected numbers above 0; got {wrong}.")
    keras = import_keras()
    variables, network, score = (
        list(model.trainable_variables),
        logits_from(model, 0),
        cross_entropy_of(label),
    )
    picture = pixels[np.newaxis].astype(np.float32)

    def logits(*values: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return network(picture)

    weights = [to_numpy(variable) for variable in variables]
    gradients = differentiate(lambda *values: score(logits(*values)), weights) if weights else []
    steps = (0.0, *rates)
    losses, probabilities = [], []
    for rate in steps:
        stepped = [
            keras.ops.convert_to_tensor(w - np.float32(rate) * g)
            for w, g in zip(weights, gradients, strict=True)
        ]
        values = np.asarray(keras.ops.convert_to_numpy(logits(*stepped)))[0]
        losses.append(cross_entropy(values, label))
        probabilities.append([np.exp(-cross_entropy(values, each)) for each in range(classes)])
    return Descent(
        label,
        steps,
        np.array(losses),
        np.array(probabilities, np.float32),
        sum(float(np.square(g.astype(np.float64)).sum()) for g in gradients),
        sum(w.size for w in weights),
    )
