"""The run folder: atomic writes, provenance, listing, reading back."""

from conviction.runs.content import RunEnvironment, RunEvaluation, RunScore
from conviction.runs.data_content import RunData, RunSplit
from conviction.runs.run import Run, list_runs, load_run

__all__ = [
    "Run",
    "RunData",
    "RunEnvironment",
    "RunEvaluation",
    "RunScore",
    "RunSplit",
    "list_runs",
    "load_run",
]
