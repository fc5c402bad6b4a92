"""The learning-rate range test: how the loss responds to ever higher rates, before training starts.

Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3, reads two rates off such a curve: the
one where the network starts to learn, and the one where that slows down or ends. A constant rate is taken from where
the loss has begun to fall: a tenth of the way to its lowest. The highest rate of a schedule is reached slowly and left
again, so it may be closer to that end: a third of the rate at the lowest loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.config import TrainingSpec
from conviction.errors import RequestError

if TYPE_CHECKING:
    import keras

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 100
# Each from different initial weights; one sweep alone chooses rates that differ by a factor of two or more.
SWEEPS = 3
# Of a moving average of the losses, whose bias towards 0 at the start is corrected as in Adam.
SMOOTHING = 0.9
# A loss this many times the lowest so far has diverged.
DIVERGED = 4.0
# Of the first loss; chance alone could explain a smaller fall.
LEAST_FALL = 0.01
BEGUN = 0.1


@dataclass(frozen=True)
class Sweep:
    """One range test: ``rates`` (n,) and smoothed ``losses`` (n,) float64, in the order of the steps."""

    rates: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True)
class RateSearch:
    """What was tried, and the rate that was chosen."""

    sweeps: tuple[Sweep, ...]
    chosen: float

    def to_json(self) -> dict[str, Any]:
        """``learning_rate.json``."""
        sweeps = [{"rates": s.rates.tolist(), "losses": s.losses.tolist()} for s in self.sweeps]
        return {"chosen": self.chosen, "sweeps": sweeps}


def find_rate(
    model: keras.Sequential,
    initial_weights: Callable[[int], list[np.ndarray]],
    batches: Any,
    spec: TrainingSpec,
) -> RateSearch:
    """Sweeps the rate from ``LOWEST`` to ``HIGHEST``, one step for each rate, and reads a rate off the losses.

    Which rate comes out depends on the seed, the data and the specification alone.

    Args:
        model: Compiled with a rate that can be set; its weights are useless afterwards.
        initial_weights: For the number of a sweep, the weights that it starts from.
        batches: From ``make_batches``, with the order of an epoch.
        spec: Its ``schedule`` says how the curve is read.

    Raises:
        RequestError: The loss did not fall at any rate.
    """
    sweeps = tuple(_sweep(model, initial_weights(i), batches, first=i * STEPS) for i in range(SWEEPS))
    read = where_it_begins if spec.schedule == "constant" else a_third_of_the_lowest
    logarithms = [math.log(read(s)) for s in sweeps if _falls(s)]
    if not logarithms:
        raise RequestError(
            f"training.learning_rate=auto: the loss did not fall at any rate from {LOWEST:g} to {HIGHEST:g} within "
            f"{STEPS} steps. Give a rate, such as training.learning_rate=0.001, or another optimizer "
            "(training.optimizer=adam)."
        )
    # Two digits are more than the method can tell; fewer would look like a choice by hand.
    return RateSearch(sweeps, float(f"{math.exp(sum(logarithms) / len(logarithms)):.2g}"))


def where_it_begins(sweep: Sweep) -> float:
    """The rate from which on the loss stays below its start by ``BEGUN`` of the fall to its lowest."""
    lowest = int(sweep.losses.argmin())
    begun = sweep.losses[0] - BEGUN * (sweep.losses[0] - sweep.losses[lowest])
    above = np.flatnonzero(sweep.losses[: lowest + 1] > begun)
    return float(sweep.rates[above[-1] + 1])


def a_third_of_the_lowest(sweep: Sweep) -> float:
    """A third of the rate at the lowest loss."""
    return float(sweep.rates[int(sweep.losses.argmin())]) / 3.0


def smoothed(losses: np.ndarray) -> np.ndarray:
    """The exponential moving average of (n,) losses, corrected for its start at 0 (Kingma and Ba, 2015)."""
    average, out = 0.0, np.empty(len(losses))
    for i, loss in enumerate(losses):
        average = SMOOTHING * average + (1.0 - SMOOTHING) * loss
        out[i] = average / (1.0 - SMOOTHING ** (i + 1))
    return out


def _falls(sweep: Sweep) -> bool:
    return len(sweep.losses) > 1 and sweep.losses.min() < (1.0 - LEAST_FALL) * sweep.losses[0]


def _sweep(model: keras.Sequential, weights: list[np.ndarray], batches: Any, first: int) -> Sweep:
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    rates, losses = np.geomspace(LOWEST, HIGHEST, STEPS), []
    for number, rate in enumerate(rates, start=first):
        epoch, batch = divmod(number, len(batches))
        batches.start_epoch(epoch)
        model.optimizer.learning_rate = float(rate)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*batches[batch])[0]))
        if not losses[-1] <= DIVERGED * min(losses):  # also where it is NaN
            break
    # The diverged loss would pull the average up, and is no longer needed.
    kept = [loss for loss in losses if math.isfinite(loss)]
    return Sweep(rates[: len(kept)], smoothed(np.array(kept)))
