"""The section ``evaluation`` of a specification: what is measured once a network has learned."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, model_validator

from conviction.config.data import SharedPath
from conviction.config.model import Strict

# More would take longer than anybody waits, and say no more.
MOST_FOLDS, MOST_REPETITIONS = 100, 100


class FoldPlan(NamedTuple):
    """Into how many folds images are divided, and how often that is done."""

    folds: int
    repetitions: int

    @property
    def networks(self) -> int:
        """How many networks are trained."""
        return self.folds * self.repetitions

    @property
    def work(self) -> float:
        """How often the images are learned from, counted in trainings on all of them."""
        return (self.folds - 1) * self.repetitions


def read_folds(text: str) -> FoldPlan:
    """``5x2`` as a plan: 5 folds, divided twice; ``5`` is ``5x1``.

    Raises:
        ValueError: It is not a plan.

    >>> read_folds("5x2")
    FoldPlan(folds=5, repetitions=2)
    """
    match = re.fullmatch(r"([0-9]{1,3})(?:x([0-9]{1,3}))?", text)
    plan = FoldPlan(int(match[1]), int(match[2] or 1)) if match else FoldPlan(0, 0)
    if not (2 <= plan.folds <= MOST_FOLDS and 1 <= plan.repetitions <= MOST_REPETITIONS):
        raise ValueError(
            f"expected FOLDS such as 5, or FOLDSxREPETITIONS such as 5x2, with 2 to {MOST_FOLDS} folds and 1 to "
            f"{MOST_REPETITIONS} repetitions"
        )
    return plan


def _plan(value: object) -> str | None:
    """Before pydantic looks at it, because ``folds=5`` is a number in YAML."""
    return None if value is None else "x".join(map(str, read_folds(str(value))))


class EvaluationSpec(Strict):
    """``test: false`` leaves the test set sealed.

    ``calibrate`` divides the weights of the output layer by the temperature at which the validation images have the
    lowest log loss, so that the saved model is as sure as it should be; its answers stay the same. ``metadata`` is the
    path of a CSV with a column file, by whose other columns accuracy is broken down. ``folds``, such as ``5x2``, trains
    more networks to estimate how good the recipe is from every image outside the test set.

    ``views`` averages each answer over versions of the picture: 2 for the picture and its mirror image, 6 for these two
    shifted by a thirty-second of the side up and left, and down and right, as well. Each answer takes so many times
    the arithmetic, also in what is exported.
    """

    test: bool = True
    calibrate: bool = False
    metadata: SharedPath | None = None
    views: Literal[1, 2, 6] = 1
    folds: Annotated[str | None, BeforeValidator(_plan)] = None

    @model_validator(mode="after")
    def _one_way_to_be_sure(self) -> EvaluationSpec:
        if self.calibrate and self.views > 1:
            raise ValueError(
                "evaluation.calibrate: divides the logits of one network, and evaluation.views averages the answers of "
                f"{self.views}; leave one of them out"
            )
        return self

    @property
    def fold_plan(self) -> FoldPlan | None:
        """``folds`` as numbers; None without folds."""
        return None if self.folds is None else read_folds(self.folds)
