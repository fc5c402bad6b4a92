"""A value that is asked about, and what the calculations of all kinds of layers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.explanation.inside import NamedLayer, Passed


@dataclass(frozen=True)
class Asked:
    """A layer, what passed through it (without the batch axis), and the value that is asked about."""

    one: NamedLayer
    passed: Passed
    position: tuple[int, ...]

    @property
    def layer(self) -> Any:
        """The Keras layer, or operation."""
        return self.one.layer

    @property
    def before(self) -> np.ndarray:
        """What came into it, of its first input."""
        return self.passed.inputs[0]

    def common(self) -> dict[str, Any]:
        """The fields that every ``Value`` has, but for its numbers."""
        return {
            "layer": self.one.name,
            "kind": self.one.kind,
            "position": self.position,
            "computed": float(self.passed.output[self.position]),
        }


def activate(activation: Callable[[Any], Any], x: float) -> float:
    """What an activation function makes of one number, in float32."""
    ops = import_keras().ops
    return float(ops.convert_to_numpy(activation(ops.convert_to_tensor([x], dtype="float32")))[0])


def activation_name(activation: Callable[[Any], Any]) -> str:
    """As Keras calls it; ``linear`` for none."""
    return activation.__name__


def to_numpy(variable: Any) -> np.ndarray:
    """A variable as float32."""
    return np.asarray(import_keras().ops.convert_to_numpy(variable), np.float32)
