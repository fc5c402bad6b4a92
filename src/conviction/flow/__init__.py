"""The whole lab in order: load, reshape, normalise, encode, split, model, compile, train, evaluate, keep."""

from conviction.flow.commands import fit, summary

__all__ = ["fit", "summary"]
