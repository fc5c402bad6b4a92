"""Everything that decides what training does next, taken out of a model and put back into one.

The order of the images and what augmentation draws follow from the seed, the epoch and the step, so they need no state
of their own. What has state is in Keras's variables: weights, moving averages, the optimizer's slots and its count of
steps (which the schedule follows), the random state of each dropout, the running sums of the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RunError
from conviction.training.record import EpochRow, EpochTiming

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TrainingState:
    """The state of training between two steps.

    Attributes:
        epoch: How many epochs are finished, validation included.
        step: How many steps of the next one have been made; all of them, if only its validation is missing.
        variables: By kind ("model", "optimizer", "metrics"), the values of its variables in Keras's order.
        running: Loss and accuracy of training so far in the unfinished epoch; empty before its first step.
        history: A row for each finished epoch.
        timing: A row for each of them.
        seconds: Spent so far.
        best: For early stopping, the weights (as ``get_weights``) of the best epoch so far; empty without it.
    """

    epoch: int
    step: int
    variables: Mapping[str, Sequence[np.ndarray]]
    running: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[EpochRow] = ()
    timing: Sequence[EpochTiming] = ()
    seconds: float = 0.0
    best: Sequence[np.ndarray] = ()


def read_variables(model: keras.Sequential) -> dict[str, list[np.ndarray]]:
    """A copy of the values of every variable of a compiled model whose optimizer is built."""
    to_numpy = import_keras().ops.convert_to_numpy
    return {kind: [np.array(to_numpy(v)) for v in variables] for kind, variables in _variables(model).items()}


def write_variables(
    model: keras.Sequential,
    values: Mapping[str, Sequence[np.ndarray]],
    kinds: Sequence[str] = ("model", "optimizer"),
) -> None:
    """Gives a model of the same specification the values that ``read_variables`` took.

    Raises:
        RunError: They are not those of such a model.
    """
    if "metrics" in kinds:
        # Keras makes a metric's variables when it is first computed.
        nothing = np.zeros((1, *model.output_shape[1:]), np.float32)
        model.compute_metrics(None, nothing, nothing)
    for kind in kinds:
        variables, kept = _variables(model)[kind], values.get(kind, ())
        check_fits(variables, kept)
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def check_fits(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Refuses values that are not those of these variables.

    Raises:
        RunError: Their number, their shapes or their types are others.
    """
    shapes = [tuple(v.shape) for v in variables], [tuple(v.shape) for v in values]
    if shapes[0] != shapes[1] or any(v.dtype.kind in "SUMm" for v in values):
        raise RunError(
            "The checkpoint does not belong to this network: what it holds has other shapes or types. Remove the "
            "folder checkpoints, and the run starts from the beginning."
        )


def _variables(model: keras.Sequential) -> dict[str, list[Any]]:
    return {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
