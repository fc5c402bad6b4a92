"""What a notebook shows for a run."""

from __future__ import annotations

from conviction.card import card
from conviction.evaluation import openings_sentence
from conviction.reporting import reasons
from conviction.runs import RunFolder
from conviction.runs.folder import REPORT
from conviction.runs.label_issues import part_to_show


def run_card(run: RunFolder) -> str:
    """The data, the accuracy with its interval, and the verdict."""
    if run.status != "done":
        return card(f"Run {run.path}", {"state": run.status, "epochs": f"{len(run.epoch_rows)}"})
    part, data = part_to_show(run), run.data
    score = run.evaluation.parts[part]
    low, high = score.accuracy_ci95
    verdict = run.verdict
    counts = ", ".join(f"{n:,} {name}" for name, n in data.counts.totals.items())
    facts = {
        "images": f"{counts}; {len(data.class_names)} classes, from {data.source}",
        "training": f"recipe {run.config.recipe}, {len(run.epoch_rows)} epochs",
        f"{part} accuracy": f"{score.accuracy:.2%}, 95% interval {low:.2%} to {high:.2%}",
        "test set": openings_sentence(run.evaluation.openings)
        if run.evaluation.openings
        else "It is sealed.",
        "verdict": f"{verdict.name}. {reasons(verdict)}",
        "report": str(run.path / REPORT),
    }
    return card(f"Run {run.path}", facts)
