"""The numbers behind one value of a layer, and the same as an equation in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from conviction.explanation.window import Window

# Nobody reads an equation with more terms; the largest are written out, the others as their sum.
MOST_TERMS = 9
LARGEST_SHOWN = 6
# float32 sums in another order differ by less than this share of what is summed.
TOLERANCE = 1e-5
# Of fields that the JSON of ``explain`` leaves out: its keys stay as programs know them.
NOT_IN_JSON = {"json": False}


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value that a layer gave, and how it comes about.

    Attributes:
        layer: Name of the layer.
        kind: Its type.
        position: (row, column, channel) or (unit,), counted from 0.
        computed: What the layer gave.
        value: What the numbers add up to, calculated here again in float64.
        magnitude: The sum of the absolute terms, on which the rounding of a sum depends.
        equation: The calculation in plain numbers, rounded to four digits.
    """

    layer: str
    kind: str
    position: tuple[int, ...]
    computed: float
    value: float
    magnitude: float
    equation: str

    @property
    def agrees(self) -> bool:
        """Whether the numbers give what the layer gave, within 1e-5 of the magnitude.

        A GPU that multiplies with fewer bits (TF32) can differ by more.
        """
        allowed = TOLERANCE * max(self.magnitude, abs(self.value))
        return abs(self.value - self.computed) <= allowed

    def to_json(self) -> dict[str, Any]:
        """Plain values; arrays become nested lists."""
        return {
            **{f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.metadata.get("json", True)},
            "agrees": self.agrees,
        }


@dataclass(frozen=True, kw_only=True)
class WeightedSum(Value):
    """A unit of a dense layer: inputs times weights, plus a bias, through an activation.

    Of a dense layer on maps the inputs are the channels at the same row and column.

    Attributes:
        inputs: float32 (features,).
        weights: Of the same shape.
        total: The sum of their products.
        bias: 0 if the layer has none.
        pre_activation: ``total`` plus ``bias``.
        activation: Its name; ``linear`` for none.
    """

    inputs: np.ndarray
    weights: np.ndarray
    total: float
    bias: float
    pre_activation: float
    activation: str

    @property
    def products(self) -> np.ndarray:
        """What each input contributes: float64, in the shape of ``inputs``."""
        return self.inputs.astype(np.float64) * self.weights

    def largest(self, count: int) -> list[tuple[int, ...]]:
        """Where the largest contributions are in ``inputs``, largest absolute product first."""
        order = np.argsort(-np.abs(self.products), axis=None, kind="stable")[:count]
        return [tuple(int(i) for i in np.unravel_index(k, self.inputs.shape)) for k in order]


@dataclass(frozen=True, kw_only=True)
class Convolution(WeightedSum):
    """A value of a convolution; ``inputs`` and ``weights`` are (kernel rows, kernel columns, input channels).

    Attributes:
        window: Where the patch lies on the layer's input.
        padding: bool (kernel rows, kernel columns): which positions lie outside the input and are therefore zeros.
        first_channel: The first of the input channels that it sees: 0 of most convolutions, which see all. A depthwise
            one sees a single channel.
    """

    window: Window
    padding: np.ndarray
    first_channel: int = 0


@dataclass(frozen=True, kw_only=True)
class Softmax(WeightedSum):
    """A probability of the output layer.

    Attributes:
        logits: ``pre_activation`` of every class, float64 (classes,).
        exponentials: exp(logit - the largest logit), float64 (classes,); the share of one is its probability.
    """

    logits: np.ndarray
    exponentials: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Pooled(Value):
    """A value of a pooling layer.

    Attributes:
        inputs: The window's part inside the input, float32 (rows, columns). Padding takes no part.
        window: Where that part lies on the layer's input.
        winner: (row, column) in the layer's input of the largest value, the first if several are equal; None for means.
    """

    inputs: np.ndarray
    window: Window
    winner: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Normalised(Value):
    """A value of batch or layer normalisation: (x - mean) / sqrt(variance + epsilon) * gamma + beta.

    Mean and variance are the moving averages of training (Ioffe and Szegedy, 2015, "Batch normalization"), or those of
    all channels at the same row and column (Ba, Kiros and Hinton, 2016, "Layer normalization").
    """

    x: float
    mean: float
    variance: float
    epsilon: float
    gamma: float
    beta: float


@dataclass(frozen=True, kw_only=True)
class Pointwise(Value):
    """A value that comes from one single value: of Flatten, Reshape or Dropout, or one of the kinds below.

    Attributes:
        x: That value.
        source: Where it is in the layer's input.
    """

    x: float
    source: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Activated(Pointwise):
    """A value of an activation layer; ``activation`` is its name.

    ``most`` is the largest value that it lets through, None where there is no such limit: 6 of ReLU6.
    """

    activation: str = field(metadata=NOT_IN_JSON)
    most: float | None = field(default=None, metadata=NOT_IN_JSON)


@dataclass(frozen=True, kw_only=True)
class Rescaled(Pointwise):
    """A value of the normalisation: x / divisor + offset."""

    divisor: float = field(metadata=NOT_IN_JSON)
    offset: float = field(metadata=NOT_IN_JSON)


@dataclass(frozen=True, kw_only=True)
class Scaled(Pointwise):
    """A value times the factor that its channel has learned."""

    factor: float


@dataclass(frozen=True, kw_only=True)
class Padded(Pointwise):
    """A value of a layer that adds zeros around its input; ``outside`` if it is one of these, with no ``source``."""

    outside: bool


@dataclass(frozen=True, kw_only=True)
class Combined(Value):
    """A value of several that are added or multiplied, as its kind says.

    Attributes:
        inputs: One of each layer.
        sources: Where each is in that layer's output.
        layers: The names of the layers.
        constant: A fixed number that takes part as well; None if there is none.
    """

    inputs: tuple[float, ...]
    sources: tuple[tuple[int, ...], ...]
    layers: tuple[str, ...]
    constant: float | None = None

    @property
    def strongest(self) -> int:
        """Which input is the largest, by its absolute value."""
        return int(np.argmax(np.abs(self.inputs)))


def number(x: float) -> str:
    """Four significant digits."""
    return f"{float(x):.4g}"


def products_text(inputs: np.ndarray, weights: np.ndarray, bias: float | None) -> str:
    """``0.12*0.5 + 0.3*(-0.2) + bias 0.03``."""
    x, w = inputs.astype(np.float64).ravel(), weights.astype(np.float64).ravel()
    texts = [f"{_factor(a)}*{_factor(b)}" for a, b in zip(x, w, strict=True)]
    text = _shortened(texts, x * w, "products")
    return text if bias is None else f"{text} + bias {_factor(bias)}"


def sum_text(values: np.ndarray) -> str:
    """``0.1 + 0.2 + 0.3``."""
    flat = values.astype(np.float64).ravel()
    return _shortened([_factor(v) for v in flat], flat, "values")


def position_text(position: Sequence[int]) -> str:
    """``row 2, column 3, channel 4`` or ``unit 7``."""
    names = ("row", "column", "channel") if len(position) == 3 else ("unit",)
    return ", ".join(f"{name} {at}" for name, at in zip(names, position, strict=True))


def _shortened(texts: Sequence[str], values: np.ndarray, noun: str) -> str:
    if len(texts) <= MOST_TERMS:
        return " + ".join(texts)
    order = np.argsort(-np.abs(values), kind="stable")
    shown, others = order[:LARGEST_SHOWN], order[LARGEST_SHOWN:]
    rest = _factor(values[others].sum())
    return f"{' + '.join(texts[i] for i in shown)} + {rest} (the other {len(others):,} {noun})"


def _factor(x: float) -> str:
    return f"({number(x)})" if x < 0 else number(x)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return asdict(value) if isinstance(value, Window) else value
