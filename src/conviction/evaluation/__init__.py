"""What the number means: scores with intervals, the gap, the ledger of openings."""

from conviction.evaluation.evaluate import Evaluation, evaluate
from conviction.evaluation.figures import Figure, ReliabilityBin
from conviction.evaluation.gap import best_epoch
from conviction.evaluation.ledger import count_openings, openings_sentence, record_opening
from conviction.evaluation.metrics import ClassScore, Score, cross_entropies, score, wilson

__all__ = [
    "ClassScore",
    "Evaluation",
    "Figure",
    "ReliabilityBin",
    "Score",
    "best_epoch",
    "count_openings",
    "cross_entropies",
    "evaluate",
    "openings_sentence",
    "record_opening",
    "score",
    "wilson",
]
