"""The operating point of a network of two classes: looked at on validation images, and made part of the model."""

from __future__ import annotations

from typing import Literal

import numpy as np

from conviction.audience import option
from conviction.config.text import shown
from conviction.data.decision import Decision
from conviction.errors import RequestError, did_you_mean
from conviction.evaluation import choose_threshold
from conviction.evaluation.operating import THRESHOLDS, Coverage, OperatingPoint, coverages, operating_points
from conviction.flow.again import load_finished
from conviction.process import restores_process
from conviction.runs import RunFolder, RunLike, folder
from conviction.runs.predictions import Answers, read_predictions

AUTO = "auto"


@restores_process
def set_threshold(
    run: RunLike, threshold: float | Literal["auto"] | None, class_name: str | None = None
) -> Decision | None:
    """Says from which probability on pictures are of a class, for a network of two classes.

    It becomes part of the model: ``predict``, ``serve`` and artefacts that are exported afterwards answer by it.
    Probabilities and the figures of the report stay as they are.

    Args:
        run: A finished run, or the path of its folder.
        threshold: In (0, 1); "auto" for where the balanced accuracy on the validation images is highest; None for the
            most likely class again.
        class_name: The class that ``threshold`` is about; default the second one.

    Returns:
        What was set.

    Raises:
        RunError: There is no such run, or it is not finished.
        RequestError: It has more than two classes; there is no such class; the threshold is out of range.
        StorageError: No space is left.
    """
    opened = load_finished(run)
    name = class_to_decide(opened, class_name)
    decision = None
    if threshold is not None:
        value = best_threshold(opened, name) if threshold == AUTO else threshold
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
            raise RequestError(
                f"{option('threshold')}: expected a probability between 0 and 1, or auto; got {shown(threshold)}."
            )
        decision = Decision(class_name=name, threshold=float(value))
    with folder.claimed(opened.path):
        kept = None if decision is None else decision.model_dump()
        folder.change_model_card(opened.path / folder.MODEL, {"decision": kept})
    return decision


def points_of(run: RunLike, part: str = "validation", class_name: str | None = None) -> list[OperatingPoint]:
    """What thresholds from 0.1 to 0.9 do, and the one that is set or would be chosen, in ascending order.

    Args:
        run: A finished run, or the path of its folder.
        part: "validation", where a threshold is chosen; or "test", where only the one that is set is shown.
        class_name: As for ``set_threshold``.

    Raises:
        RunError: As ``set_threshold``; or the part has not been answered.
        RequestError: As ``set_threshold``; or the images are all of one class.
    """
    opened = load_finished(run)
    name = class_to_decide(opened, class_name)
    scores, is_class = _scores(opened, name, part)
    own = threshold_of(opened, name)
    if part == "test":
        return operating_points(scores, is_class, [own])
    return operating_points(scores, is_class, sorted({*THRESHOLDS, own, best_threshold(opened, name)}))


def coverages_of(run: RunLike) -> list[Coverage]:
    """What abstaining would leave of the validation images, and how often the rest is right.

    Raises:
        RunError: There is no such run, or it is not finished.
    """
    answers = _answers(load_finished(run), "validation")
    return coverages(answers.probabilities, answers.labels)


def threshold_of(run: RunFolder, class_name: str) -> float:
    """From which probability on pictures are of a class, as the model is set."""
    decision = run.decision
    if decision is None:
        return 0.5
    return decision.threshold if decision.class_name == class_name else 1 - decision.threshold


def best_threshold(run: RunFolder, class_name: str) -> float:
    """Where the balanced accuracy on the validation images is highest, in (0, 1).

    Raises:
        RequestError: The validation images are all of one class.
    """
    scores, is_class = _scores(run, class_name, "validation")
    # A network that cannot tell them apart has its best threshold outside.
    return float(np.clip(choose_threshold(scores, is_class.astype(int)), 1e-6, 1 - 1e-6))


def class_to_decide(run: RunFolder, class_name: str | None) -> str:
    """The class that a threshold is about.

    Raises:
        RequestError: There are more than two classes, or none of this name.
    """
    names = run.class_names
    if len(names) != 2:
        raise RequestError(
            f"{run.path}: expected a run of two classes; this one has {len(names)}, and answers with the most likely "
            f"one. What it is unsure of, predict can leave out: {option('abstain-below')}."
        )
    if class_name is None:
        return names[1]
    if class_name not in names:
        raise RequestError(
            f"{option('class', 'class_name')}: expected {names[0]} or {names[1]}; got {shown(class_name)}."
            f"{did_you_mean(str(class_name), names)}"
        )
    return class_name


def _scores(run: RunFolder, class_name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) probabilities of the class, and (n,) bool whether images are of it."""
    answers = _answers(run, part)
    number = run.class_names.index(class_name)
    is_class = answers.labels == number
    if is_class.all() or not is_class.any():
        raise RequestError(
            f"{run.path}: the {part} images are all of one class, so nothing can be said of a threshold."
        )
    return answers.probabilities[:, number], is_class


def _answers(run: RunFolder, part: str) -> Answers:
    answers = read_predictions(run.path)
    if part not in answers:
        raise RequestError(f"part: expected one of {', '.join(answers)}; got {shown(part)}.")
    return answers[part]
