"""The way back through a network: how the loss of one picture changes with any value, weight or pixel.

As ``explain_value`` shows how a value is computed, ``way_back`` shows where its gradient comes from, number by number,
and what it adds to the gradients of the weights. Everything is in inference mode; see ``flows``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.asked import to_numpy
from conviction.explanation.differentiate import (
    Score,
    after,
    check_end,
    cross_entropy,
    cross_entropy_of,
    differentiate,
    end_of,
    logits_from,
    logits_of,
)
from conviction.explanation.flows import Flow, Following, flow_back
from conviction.explanation.forward import check_pixels
from conviction.explanation.inside import (
    NamedLayer,
    Passed,
    find_layer,
    named_layers,
    passed_through,
)
from conviction.explanation.numbers import TOLERANCE
from conviction.explanation.value import checked_position
from conviction.explanation.weights import WEIGHTS, WeightGradient, weight_gradients
from conviction.model.probabilities import predict_probabilities

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class ValueGradient:
    """How the loss changes with one value.

    Attributes:
        layer: Its name; empty for the picture.
        kind: Its type; empty for the picture.
        position: (row, column, channel) or (unit,), counted from 0.
        flows: What each of the following layers passes back; none for a value of the output layer.
        gradient: The sum of all that, float64; of a value of the output layer with respect to its logit, p - y.
        computed: The same as the framework has it.
        magnitude: The sum of the absolute terms, on which the rounding of a sum depends.
        slope: The derivative of the layer's own activation; 1 without one.
        weights: What the value adds to the gradients of the weights that it is made with, kernel first.
    """

    layer: str
    kind: str
    position: tuple[int, ...]
    flows: tuple[Flow, ...]
    gradient: float
    computed: float
    magnitude: float
    slope: float
    weights: tuple[WeightGradient, ...]

    @property
    def before_activation(self) -> float:
        """The gradient with respect to what the value was before its activation."""
        return self.gradient * self.slope

    @property
    def agrees(self) -> bool:
        """Whether the sum gives what the framework gives, within 1e-5 of the magnitude."""
        allowed = TOLERANCE * max(self.magnitude, abs(self.gradient))
        return abs(self.gradient - self.computed) <= allowed


@dataclass(frozen=True, kw_only=True)
class WayBack:
    """The gradients of the loss at one layer, for one picture.

    Attributes:
        one: The layer; None for the picture.
        passed: What passed through it.
        label: The class of the picture.
        loss: The cross-entropy, -log p(label), in nats.
        probabilities: Of all classes, float32.
        gradient: Of the loss with respect to what the layer gave, float32, in the shape of that; of the output layer to
            its logits.
        weights: And with respect to its weights, by name, float32, as the framework has them.
        following: The layers that the values go into.
        difference: Of the output layer: p - y, what the network answers minus what is right, float64, in the shape of
            ``gradient``; of one sigmoid unit that of the second class. None for other layers.
    """

    one: NamedLayer | None
    passed: Passed
    label: int
    loss: float
    probabilities: np.ndarray
    gradient: np.ndarray
    weights: dict[str, np.ndarray]
    following: tuple[Following, ...]
    difference: np.ndarray | None

    @property
    def is_output(self) -> bool:
        """Whether the layer gives the probabilities."""
        return self.difference is not None

    def at(self, position: Sequence[int]) -> ValueGradient:
        """Where the gradient of one value comes from, and what it adds to those of the weights.

        Args:
            position: (row, column, channel) or (unit,), from 0.

        Raises:
            RequestError: There is no such position, or a following layer is of a kind that is not explained.
        """
        name = self.one.name if self.one else ""
        where = checked_position(name or "the picture", self.passed.output.shape, position)
        flows = tuple(flow_back(following, where) for following in self.following)
        terms = np.concatenate([np.zeros(0), *(flow.contributions for flow in flows)])
        gradient, magnitude = float(terms.sum()), float(np.abs(terms).sum())
        if self.difference is not None:
            gradient = float(self.difference[where])
            magnitude = 1.0  # the size of y
        slope = 1.0
        weights: tuple[WeightGradient, ...] = ()
        if self.one is not None:
            upstream = np.asarray(self.gradient[..., where[-1]], np.float64)
            slope, weights = weight_gradients(
                self.one, self.passed, upstream, where, self.weights, is_output=self.is_output
            )
        return ValueGradient(
            layer=name,
            kind=self.one.kind if self.one else "",
            position=where,
            flows=flows,
            gradient=gradient,
            computed=float(self.gradient[where]),
            magnitude=magnitude,
            slope=slope,
            weights=weights,
        )


def way_back(model: keras.Sequential, pixels: np.ndarray, layer: str, label: int) -> WayBack:
    """The gradients of the loss for one picture at one layer.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: One picture, (height, width, channels) uint8.
        layer: Name of the layer, as for ``explain_value``; empty for the picture.
        label: The class of the picture, in [0, classes).

    Raises:
        RequestError: There is no such layer or class, the picture does not fit the network, or the network ends with
            several sigmoids.
    """
    check_pixels(model, pixels)
    check_end(model)
    probabilities = predict_probabilities(model, pixels[np.newaxis])[0]
    if not 0 <= label < len(probabilities):
        raise RequestError(f"label: expected a class from 0 to {len(probabilities) - 1}; got {label}.")
    score = cross_entropy_of(label)
    one = find_layer(model, layer) if layer else None
    rest = _rest_of_picture(model, pixels) if one is None else _rest_of(model, pixels, one)
    ops = import_keras().ops
    logits = np.asarray(ops.convert_to_numpy(rest.logits(ops.convert_to_tensor(rest.start))))[0]
    return WayBack(
        one=one,
        passed=rest.passed,
        label=label,
        loss=cross_entropy(logits, label),
        probabilities=probabilities,
        gradient=_gradient(rest, score),
        weights={} if one is None else _weight_gradients(one, rest, score),
        following=tuple(_followings(model, pixels, one.name if one else "", score)),
        difference=_difference(logits, label) if rest.is_output else None,
    )


def _difference(logits: np.ndarray, label: int) -> np.ndarray:
    """P - y of each logit, float64; exact also where p rounds to 1, because 1 - p is the sum of the others."""
    classes = max(2, len(logits))
    p = np.exp([-cross_entropy(logits, k) for k in range(classes)])
    differences = np.where(np.arange(classes) == label, -np.delete(p, label).sum(), p)
    return differences[1:] if len(logits) == 1 else differences


@dataclass(frozen=True)
class _Rest:
    """The network from a layer on, for one picture.

    Attributes:
        passed: What passed through the layer.
        start: What it gives, with the batch axis; of the output layer its logits.
        give: Computes that from what came into the layer.
        logits: The network from there on.
        is_output: Whether it is the output layer.
    """

    passed: Passed
    start: np.ndarray
    give: Callable[[], Any]
    logits: Callable[[Any], Any]
    is_output: bool = False


def _rest_of_picture(model: keras.Sequential, pixels: np.ndarray) -> _Rest:
    start = pixels[np.newaxis].astype(np.float32)
    return _Rest(Passed((), start[0]), start, give=lambda: start, logits=logits_from(model, 0))


def _rest_of(model: keras.Sequential, pixels: np.ndarray, one: NamedLayer) -> _Rest:
    ops = import_keras().ops
    passed = passed_through(model, pixels, one)
    inputs = [ops.convert_to_tensor(each[np.newaxis].astype(np.float32)) for each in passed.inputs]
    if one.layer is end_of(model).last:

        def give_logits() -> Any:
            return logits_of(one.layer, inputs[0])

        start = np.asarray(ops.convert_to_numpy(give_logits()))
        return _Rest(passed, start, give=give_logits, logits=lambda values: values, is_output=True)

    def give() -> Any:
        return one.layer(inputs[0] if len(inputs) == 1 else inputs, training=False)

    return _Rest(passed, passed.output[np.newaxis], give=give, logits=after(model, pixels, one))


def _gradient(rest: _Rest, score: Score) -> np.ndarray:
    """Of the score with respect to what a layer gives, without the batch axis."""
    (gradient,) = differentiate(lambda values: score(rest.logits(values)), [rest.start])
    return gradient[0]


def _weight_gradients(one: NamedLayer, rest: _Rest, score: Score) -> dict[str, np.ndarray]:
    """By name, the gradient with respect to each weight that the values of a layer are made with."""
    variables = {name: getattr(one.layer, name, None) for name in WEIGHTS.get(one.kind, ())}
    present = {name: variable for name, variable in variables.items() if variable is not None}
    if not present:
        return {}
    keras = import_keras()

    def of_weights(*values: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(present.values(), values, strict=True))):
            return score(rest.logits(rest.give()))

    gradients = differentiate(of_weights, [to_numpy(variable) for variable in present.values()])
    return dict(zip(present, gradients, strict=True))


def _followings(model: keras.Sequential, pixels: np.ndarray, name: str, score: Score) -> Iterator[Following]:
    """The layers that the values of a layer go into; one that takes them twice comes twice."""
    # A backbone's own name stands for its last layer.
    every = {one.name: one for one in named_layers(model).values()}
    for one in every.values():
        numbers = [i for i, parent in enumerate(one.parents) if parent == name]
        if numbers:
            rest = _rest_of(model, pixels, one)
            upstream = _gradient(rest, score)
            for number in numbers:
                yield Following(one, number, rest.passed, upstream, rest.is_output)
