"""The run folder: atomic writes, provenance, listing, reading back."""

from conviction.runs.content import RunEnvironment, RunEvaluation, RunScore
from conviction.runs.data_content import RunData, RunSplit
from conviction.runs.run import RunFolder, RunLike, list_runs, open_run, run_path, run_paths

__all__ = [
    "RunData",
    "RunEnvironment",
    "RunEvaluation",
    "RunFolder",
    "RunLike",
    "RunScore",
    "RunSplit",
    "list_runs",
    "open_run",
    "run_path",
    "run_paths",
]
