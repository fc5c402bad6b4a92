"""From probabilities to an answer: the most likely class, or for two classes a threshold that a person has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from conviction.config.model import Strict


class Decision(Strict):
    """A picture is of this class from this probability on, and otherwise of the other one of two.

    Attributes:
        class_name: One of two classes.
        threshold: In (0, 1); 0.5 is the most likely class.
    """

    class_name: str
    threshold: Annotated[float, Field(gt=0.0, lt=1.0)]

    def fits(self, class_names: Sequence[str]) -> bool:
        """Whether these are two classes, and it names one of them."""
        return len(class_names) == 2 and self.class_name in class_names


def decide(
    probabilities: np.ndarray, class_names: Sequence[str], decision: Decision | None = None
) -> np.ndarray:
    """(n,) int64: the number of the class that each picture is answered with.

    Args:
        probabilities: (n, classes).
        class_names: One per column.
        decision: None for the most likely class.

    >>> decide(np.array([[0.6, 0.4]]), ["well", "ill"], Decision(class_name="ill", threshold=0.3))
    array([1])
    """
    if decision is None:
        return probabilities.argmax(axis=1)
    chosen = list(class_names).index(decision.class_name)
    return np.where(probabilities[:, chosen] >= decision.threshold, chosen, 1 - chosen)
