"""What the number means: scores with intervals, calibration, where it fails, the gap, the ledger of openings."""

from conviction.evaluation.binary import Binary, choose_threshold, two_classes
from conviction.evaluation.bootstrap import Figure
from conviction.evaluation.calibration import ReliabilityBin, at_temperature, fit_temperature
from conviction.evaluation.evaluate import (
    Calibration,
    Evaluation,
    Part,
    assess,
    checked,
    describe_part,
    predict_parts,
)
from conviction.evaluation.folds import RecipeEstimate, corrected_interval, estimate_recipe, paired_difference
from conviction.evaluation.gap import Gap, best_epoch, measure_gap
from conviction.evaluation.intervals import holm, mcnemar, newcombe, newcombe_paired, wilson
from conviction.evaluation.ledger import count_openings, openings_sentence, record_opening
from conviction.evaluation.metrics import ClassScore, Score, cross_entropies, score
from conviction.evaluation.mistakes import Suspect, suspect_labels
from conviction.evaluation.paired import Comparison, Pair
from conviction.evaluation.slices import Slice, Slicing, read_metadata
from conviction.evaluation.verdict import Advice, Power, Verdict, judge, judge_live, judge_run

__all__ = [
    "Advice",
    "Binary",
    "Calibration",
    "ClassScore",
    "Comparison",
    "Evaluation",
    "Figure",
    "Gap",
    "Pair",
    "Part",
    "Power",
    "RecipeEstimate",
    "ReliabilityBin",
    "Score",
    "Slice",
    "Slicing",
    "Suspect",
    "Verdict",
    "assess",
    "at_temperature",
    "best_epoch",
    "checked",
    "choose_threshold",
    "corrected_interval",
    "count_openings",
    "cross_entropies",
    "describe_part",
    "estimate_recipe",
    "fit_temperature",
    "holm",
    "judge",
    "judge_live",
    "judge_run",
    "mcnemar",
    "measure_gap",
    "newcombe",
    "newcombe_paired",
    "openings_sentence",
    "paired_difference",
    "predict_parts",
    "read_metadata",
    "record_opening",
    "score",
    "suspect_labels",
    "two_classes",
    "wilson",
]
