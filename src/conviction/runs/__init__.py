"""The run folder: atomic writes, provenance, listing, reading back."""

from conviction.runs.content import RunEnvironment, RunEvaluation, RunScore
from conviction.runs.data_content import RunData, RunSplit
from conviction.runs.run import RunFolder, list_runs, open_run

__all__ = [
    "RunData",
    "RunEnvironment",
    "RunEvaluation",
    "RunFolder",
    "RunScore",
    "RunSplit",
    "list_runs",
    "open_run",
]
