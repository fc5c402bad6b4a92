"""Controlled experiments: one thing changed over the same seeds, in worker processes."""

from conviction.experiments.exploration import Plan, Trials, Watch, plan, run_plan
from conviction.experiments.exploration_page import exploration_steps, render_exploration
from conviction.experiments.findings import ArmFinding, Findings, findings
from conviction.experiments.questions import QUESTIONS, arms_for

__all__ = [
    "QUESTIONS",
    "ArmFinding",
    "Findings",
    "Plan",
    "Trials",
    "Watch",
    "arms_for",
    "exploration_steps",
    "findings",
    "plan",
    "render_exploration",
    "run_plan",
]
