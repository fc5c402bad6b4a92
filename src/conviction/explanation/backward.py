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
    cross_entropy,
    cross_entropy_of,
    differentiate,
    last_of,
    logits_from,
    logits_of,
)
from conviction.explanation.flows import Flow, Following, flow_back
from conviction.explanation.forward import check_pixels
from conviction.explanation.inside import (
    NamedLayer,
    Passed,
    find_layer,
    is_backbone,
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
        gradient: The sum of all that, float64; of a value of the output layer with regard to its logit, p - y.
        computed: The same as the framework has it.
        magnitude: The sum of the absolute terms.
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
        """The gradient with regard to what the value was before its activation."""
        return self.gradient * self.slope

    @property
    def agrees(self) -> bool:
        """Whether the sum gives what the framework gives, within 1e-5 of the magnitude."""
        allowed = TOLERANCE * max(self.magnitude, abs(self.gradient))
        return abs(self.gradient - self.computed) <= allowed


@dataclass(frozen=True)
class WayBack:
    """The gradients of the loss at one layer, for one picture.

    Attributes:
        one: The layer; None for the picture.
        passed: What passed through it.
        label: The class that the picture is said to be of.
        loss: The cross-entropy, -log p(label), in nats.
        probabilities: Of all classes, float32.
        gradient: Of the loss with regard to what the layer gave, float32, in the shape of that; of the output layer to
            its logits.
        weights: And with regard to its weights, by name, float32, as the framework has them.
        following: The layers that the values go into.
        is_output: Whether the layer gives the probabilities.
    """

    one: NamedLayer | None
    passed: Passed
    label: int
    loss: float
    probabilities: np.ndarray
    gradient: np.ndarray
    weights: dict[str, np.ndarray]
    following: tuple[Following, ...]
    is_output: bool

    def at(self, position: Sequence[int]) -> ValueGradient:
        """Where the gradient of one value comes from, and what it adds to those of the weights.

        Args:
            position: (row, column, channel) or (unit,), from 0.

        Raises:
            RequestError: There is no such position, or a following layer is of a kind that is not explained.
        """
        name = self.one.name if self.one else ""
        where = checked_position(name or "the picture", self.passed.output.shape, position)
        computed = float(self.gradient[where])
        flows = tuple(flow_back(following, where) for following in self.following)
        terms = np.concatenate([np.zeros(0), *(flow.contributions for flow in flows)])
        gradient = computed if self.is_output else float(terms.sum())
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
            computed=computed,
            magnitude=float(np.abs(terms).sum()),
            slope=slope,
            weights=weights,
        )


def way_back(model: keras.Sequential, pixels: np.ndarray, layer: str, label: int) -> WayBack:
    """The gradients of the loss for one picture at one layer.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: One picture, (height, width, channels) uint8.
        layer: Name of the layer, as for ``explain_value``; empty for the picture.
        label: The class that the picture is said to be of, in [0, classes).

    Raises:
        RequestError: There is no such layer or class, or the picture does not fit the network.
    """
    check_pixels(model, pixels)
    probabilities = predict_probabilities(model, pixels[np.newaxis])[0]
    if not 0 <= label < len(probabilities):
        raise RequestError(f"label: expected a class from 0 to {len(probabilities) - 1}; got {label}.")
    score = cross_entropy_of(label)
    one = find_layer(model, layer) if layer else None
    name = one.name if one else ""
    onward = _onward(model, pixels, one)
    ops = import_keras().ops
    logits = ops.convert_to_numpy(onward.logits(ops.convert_to_tensor(onward.given)))[0]
    return WayBack(
        one,
        onward.passed,
        label,
        cross_entropy(logits, label),
        probabilities,
        _gradient(onward, score),
        {} if one is None else _weight_gradients(one, onward, score),
        tuple(_followings(model, pixels, name, score)),
        onward.is_output,
    )


@dataclass(frozen=True)
class _Onward:
    """What a layer gives, with the batch axis, and the network from there to the logits; the output layer gives these.

    ``give`` is the layer from what came into it to what it gives.
    """

    passed: Passed
    given: np.ndarray
    logits: Callable[[Any], Any]
    give: Callable[[], Any]
    is_output: bool


def _onward(model: keras.Sequential, pixels: np.ndarray, one: NamedLayer | None) -> _Onward:
    if one is None:
        given = pixels[np.newaxis].astype(np.float32)
        return _Onward(Passed((), given[0]), given, logits_from(model, 0), lambda: given, False)
    ops = import_keras().ops
    passed = passed_through(model, pixels, one)
    inputs = [ops.convert_to_tensor(each[np.newaxis].astype(np.float32)) for each in passed.inputs]
    last = model.layers[-1]
    if one.layer is (last_of(last) if is_backbone(last) else last):

        def logits() -> Any:
            return logits_of(one.layer, inputs[0])

        return _Onward(
            passed, np.asarray(ops.convert_to_numpy(logits())), lambda values: values, logits, True
        )

    def give() -> Any:
        return one.layer(inputs[0] if len(inputs) == 1 else inputs, training=False)

    return _Onward(passed, passed.output[np.newaxis], after(model, pixels, one), give, False)


def _gradient(onward: _Onward, score: Score) -> np.ndarray:
    """Of the score with regard to what a layer gives, without the batch axis."""
    (gradient,) = differentiate(lambda values: score(onward.logits(values)), [onward.given])
    return gradient[0]


def _weight_gradients(one: NamedLayer, onward: _Onward, score: Score) -> dict[str, np.ndarray]:
    """By name, the gradient with regard to each weight that the values of a layer are made with."""
    variables = {name: getattr(one.layer, name, None) for name in WEIGHTS.get(one.kind, ())}
    present = {name: variable for name, variable in variables.items() if variable is not None}
    if not present:
        return {}
    keras = import_keras()

    def of_weights(*values: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(present.values(), values, strict=True))):
            return score(onward.logits(onward.give()))

    gradients = differentiate(of_weights, [to_numpy(variable) for variable in present.values()])
    return dict(zip(present, gradients, strict=True))


def _followings(model: keras.Sequential, pixels: np.ndarray, name: str, score: Score) -> Iterator[Following]:
    """The layers that the values of a layer go into; one that takes them twice comes twice."""
    # A backbone's own name stands for its last layer.
    every = {one.name: one for one in named_layers(model).values()}
    for one in every.values():
        numbers = [i for i, parent in enumerate(one.parents) if parent == name]
        if numbers:
            onward = _onward(model, pixels, one)
            upstream = _gradient(onward, score)
            for number in numbers:
                yield Following(one, number, onward.passed, upstream, onward.is_output)
