"""The run folder: atomic writes, provenance, listing, reading back."""

from conviction.runs.run import Run, list_runs, load_run

__all__ = ["Run", "list_runs", "load_run"]
