"""The section ``data`` of a specification: how images are decoded and split."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from conviction.audience import without_home
from conviction.config.model import Strict

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
# A run is sent to others, who need not know whose home it was made in.
SharedPath = Annotated[str, AfterValidator(without_home)]
# What becomes of pictures whose shape is not that of (height, width).
Fit = Literal["stretch", "crop", "pad"]


def _rising(value: tuple[float, float] | None) -> tuple[float, float] | None:
    if value is not None and not -math.inf < value[0] < value[1] < math.inf:
        raise ValueError("expected [black, white], finite numbers with black < white")
    return value


def _not_one(folds: int) -> int:
    if folds == 1:
        raise ValueError("expected 0 (none) or at least 2")
    return folds


class DataSpec(Strict):
    """How images are decoded and split.

    ``image_size`` is (height, width) in pixels, or None to take it from the data. ``fit`` says how pictures of
    another shape become that: stretched, their middle, or all of them with black beside. ``validation`` is
    the share of the training images held back; ``test`` the share of all images set aside where the
    source has no test set of its own. ``range`` says which stored values mean black and white,
    where the data type alone does not.

    ``group`` says which pictures belong together and must not be separated by a split: the path of a
    CSV with the columns file and group, a regular expression whose first group is searched in each file's
    path, or ``auto`` for the sessions that the audit finds. ``exclude`` is a file that lists pictures to leave out, and
    ``relabel`` a CSV with the columns file and proposed, which says what pictures are instead of the source.
    ``on_leak`` says what happens to training and validation images that also appear, exactly or nearly, in
    the source's own test set.
    ``folds`` cuts everything but the test set into that many parts, of which number ``fold`` (from 1) is
    the validation set; 0 means no folds.
    """

    image_size: Annotated[
        tuple[Annotated[int, Field(ge=4, le=2048)], Annotated[int, Field(ge=4, le=2048)]] | None,
        BeforeValidator(lambda v: (v, v) if type(v) is int else tuple(v) if type(v) is list else v),
    ] = None
    fit: Fit = "stretch"
    color_mode: Literal["auto", "grayscale", "rgb"] = "auto"
    validation: Fraction = 0.1
    test: Fraction = 0.2
    range: Annotated[
        tuple[float, float] | None,
        BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v),
        AfterValidator(_rising),
    ] = None
    group: SharedPath | None = None
    exclude: SharedPath | None = None
    relabel: SharedPath | None = None
    on_leak: Literal["drop", "keep", "fail"] = "drop"
    folds: Annotated[int, Field(ge=0, le=1000), AfterValidator(_not_one)] = 0
    fold: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _fold_exists(self) -> DataSpec:
        if self.folds and self.fold > self.folds:
            raise ValueError(f"data.fold={self.fold}: expected a fold from 1 to data.folds={self.folds}")
        if not self.folds and "fold" in self.model_fields_set and self.fold != 1:
            raise ValueError(f"data.fold={self.fold} needs data.folds=N, the number of folds")
        return self
