"""The run folder: atomic writes, provenance, listing, reading back."""

from conviction.runs.run import Predictions, Run, list_runs, load_run

__all__ = ["Predictions", "Run", "list_runs", "load_run"]
