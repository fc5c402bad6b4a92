"""The whole lab in order: load, reshape, normalise, encode, split, model, compile, train, evaluate, keep; and again."""

from conviction.flow.commands import fit, summary
from conviction.flow.comparison import compare
from conviction.flow.reassessment import evaluate, evaluate_new, report
from conviction.flow.resumption import resume

__all__ = ["compare", "evaluate", "evaluate_new", "fit", "report", "resume", "summary"]
