"""The tables of a run, each read when it is asked for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from conviction.flow.threshold import coverages_of, points_of
from conviction.library import tables
from conviction.runs import RunFolder, label_issues

if TYPE_CHECKING:
    import pandas as pd


class RunTables(RunFolder):
    """What a run has answered, as DataFrames."""

    @cached_property
    def history(self) -> pd.DataFrame:
        """Loss and accuracy by epoch, in training and validation: a row for each finished epoch."""
        return tables.history(self)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What it answered for its own images: a row for each, with ``part``, ``file``, ``label``, ``predicted``,
        ``right`` and ``probability``, and the probability of each class in a column called ``p(class)``.

        The test images are among them once the test set has been opened.

        Raises:
            RunError: It has no predictions, or they are damaged.
        """
        return tables.predictions(self)

    @property
    def scores(self) -> pd.DataFrame:
        """Loss and accuracy with its 95% interval, a row for each part."""
        return tables.scores(self)

    @property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall and F1 of each class, of the test set, or of validation while that is sealed."""
        return tables.per_class(self)

    @property
    def confusion(self) -> pd.DataFrame:
        """How often each class (row) was called what (column), of the same images as ``per_class``."""
        return tables.confusion(self)

    def mistakes(self, part: str | None = None, *, out: str | Path | None = None) -> pd.DataFrame:
        """The images that it gets wrong, all of them, those first where it was surest.

        Args:
            part: "train", "validation" or "test"; None for the test set, or validation while that is sealed.
            out: A CSV to write as well, with an empty column ``proposed`` for the right class of those whose label is
                wrong; ``fit`` takes it as ``data.relabel``.

        Raises:
            RequestError: There is no such part, or ``out`` is a folder.
            RunError: There are no predictions of that part.
        """
        rows = label_issues.mistakes(self, part)
        if out is not None:
            label_issues.write_corrections(Path(out).expanduser(), rows, label_issues.Mistake)
        return tables.mistakes(rows)

    def suspects(self, *, out: str | Path | None = None) -> pd.DataFrame:
        """The images whose label is probably wrong, the surest first, with the class that is likelier.

        By confident learning (Northcutt, Jiang and Chuang, 2021), of images that the network has not learned from:
        outside the training set, or with ``evaluation.folds`` all of them.

        Args:
            out: A CSV to write as well. Look at each picture, delete the lines that you disagree with, and give it to
                ``fit`` as ``data.relabel``.

        Raises:
            RequestError: ``out`` is a folder.
            RunError: There are no predictions.
        """
        rows = label_issues.label_issues(self)
        if out is not None:
            label_issues.write_corrections(Path(out).expanduser(), rows, label_issues.LabelIssue)
        return tables.suspects(rows)

    def operating_points(self, class_name: str | None = None) -> pd.DataFrame:
        """What each threshold would do on the validation images: a row for each, with recall, specificity, precision.

        Args:
            class_name: As for ``set_threshold``.
        """
        return tables.operating_points(points_of(self, class_name=class_name))

    def coverage(self) -> pd.DataFrame:
        """What abstaining below a probability leaves of the validation images, and the accuracy of the rest."""
        return tables.coverage(coverages_of(self))
