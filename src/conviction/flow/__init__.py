"""The whole lab in order: load, reshape, normalise, encode, split, model, compile, train, evaluate, keep."""

from conviction.flow.commands import fit, summary
from conviction.flow.resumption import resume

__all__ = ["fit", "resume", "summary"]
