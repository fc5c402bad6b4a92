"""What is said about a threshold that was set for a model of two classes."""

from __future__ import annotations

from conviction.data import ImageSet
from conviction.data.decision import Decision
from conviction.errors import printable
from conviction.evaluation import Part
from conviction.evaluation.operating import operating_points


def decision_sentences(decision: Decision | None, part: Part, images: ImageSet) -> list[str]:
    """That the figures of a part are not those of the answers of the model, and what those are; nothing without one."""
    if decision is None:
        return []
    number = images.class_names.index(decision.class_name)
    is_class = images.labels[part.index] == number
    if is_class.all() or not is_class.any():
        return []
    name = printable(decision.class_name)
    (point,) = operating_points(part.probabilities[:, number], is_class, [decision.threshold])
    (low, high), (least, most) = point.recall_ci95, point.specificity_ci95
    return [
        f"The model is set to answer {name} from a probability of {decision.threshold:.4g} on; the figures here are "
        f"those of the most likely class. As it is set, it finds {point.recall:.2%} of the images of {name} (95% "
        f"interval {low:.2%} to {high:.2%}) and rejects {point.specificity:.2%} of the others ({least:.2%} to "
        f"{most:.2%})."
    ]
