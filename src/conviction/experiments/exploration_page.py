"""An exploration as steps for the terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from conviction.experiments.findings import ClaimFinding, Findings, Summary
from conviction.experiments.questions import SHEETS
from conviction.experiments.statistics import Difference
from conviction.lesson import sheets
from conviction.lesson.claim_words import comparison, evidence, own_evidence, teaching
from conviction.lesson.claims import claims
from conviction.lesson.words import render
from conviction.reporting import Drawing, Step, Table, curves_together, render_template

TITLES = {
    "filters": "Fewer or more filters?",
    "kernel": "Which kernel size?",
    "pooling": "Which pooling?",
    "depth": "How many convolutional layers?",
    "dense": "How many dense layers?",
    "dropout": "Where does dropout go, and at what rate?",
    "batch-norm": "Where does batch normalisation go?",
    "learning-rate": "Which learning rate?",
    "batch-size": "Which batch size?",
    "optimizer": "Which optimizer?",
    "augmentation": "Which augmentation?",
    "recipe": "Which recipe?",
    "backbone": "How much of the backbone learns?",
}
COLUMNS = (
    "arm",
    "accuracy",
    "difference in points",
    "loss",
    "gap",
    "parameters",
    "multiply-adds",
    "seconds",
)


def exploration_steps(findings: Findings) -> list[Step]:
    """The base, then a step for each question: what to expect, what happened, and the numbers."""
    steps = [
        Step(
            "Base",
            (*findings.about, *_failures(findings.base)),
            Table(COLUMNS, (_row(findings.base, None),), tuple(range(1, 8))),
        )
    ]
    for question in findings.questions:
        arms = findings.of(question)
        sentences = [*_expected(question), *(f"{f.sentence}{_changes(f.arm)}" for f in arms)]
        sentences += [
            f"{label}: no finding. {reason}" for q, label, reason in findings.untried if q == question
        ]
        sentences += [text for f in arms for text in _failures(f.arm)]
        rows = (_row(findings.base, None), *(_row(f.arm, f.accuracy) for f in arms))
        sentences += _claimed(findings.claim)
        steps.append(Step(title(question), tuple(sentences), Table(COLUMNS, rows, tuple(range(1, 8)))))
    return steps


def _claimed(claimed: ClaimFinding | None) -> list[str]:
    """What the exploration says of the claim that it tests, beside what was measured for the lesson."""
    if claimed is None:
        return []
    claim = claims()[claimed.name]
    effect = claimed.effects.get(claim.measure)
    sentences = [
        f"The claim is about the {claim.measure_name}.",
        own_evidence(claim, effect, claimed.seeds),
        *(evidence(claim, measurement) for measurement in claim.measurements),
        comparison(claim, effect, claimed.seeds),
        teaching(claim),
        claim.why,
    ]
    return [sentence for sentence in sentences if sentence]


def title(question: str) -> str:
    """The question as people ask it; for a claim, the change; for a varied key, a question with its name."""
    claim = claims().get(question)
    return claim.change if claim else TITLES.get(question, f"What does {question} do?")


def _expected(question: str) -> list[str]:
    sheet = next((s for s in sheets() if s.name == SHEETS.get(question)), None)
    return [f"Expected: {' '.join(sheet.short.split())}"] if sheet else []


def _changes(arm: Summary) -> str:
    """What the arm changes in the network, as a sentence after the finding; nothing where it changes no layer."""
    return f" In the network: {'; '.join(arm.changes)}." if arm.changes else ""


def _failures(arm: Summary) -> list[str]:
    return [f"{arm.label}, seed {seed}: failed. {reason}" for seed, reason in sorted(arm.failures.items())]


def _row(arm: Summary, accuracy: Difference | None) -> tuple[str, ...]:
    difference = ""
    if accuracy is not None:
        difference = f"{accuracy.mean * 100:+.2f}"
        if accuracy.known:
            difference += f" [{accuracy.low * 100:+.2f}, {accuracy.high * 100:+.2f}]"
    return (
        arm.label,
        _spread(np.array(arm.accuracy) * 100, 2),
        difference,
        _spread(np.array(arm.loss), 4),
        f"{np.mean(arm.gap) * 100:.1f}" if arm.gap else "",
        f"{arm.params:,}",
        f"{arm.multiply_adds:,}",
        f"{np.mean(arm.seconds):.1f}" if arm.seconds else "",
    )


def _spread(values: np.ndarray, digits: int) -> str:
    if not len(values):
        return ""
    mean = f"{values.mean():.{digits}f}"
    return f"{mean} ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else mean


def curves_of(findings: Findings, question: str) -> Drawing:
    """The mean curves of the base and of a question's arms in one drawing."""
    arms = {"base": findings.base.curve, **{f.arm.label: f.arm.curve for f in findings.of(question)}}
    return curves_together(arms)


def forest(findings: Findings) -> Drawing:
    """Every arm's difference from the base with its interval, question by question."""
    from matplotlib.figure import Figure

    arms = [f for q in findings.questions for f in findings.of(q)]

    def draw(figure: Figure, colors: Any) -> Mapping[str, str]:
        axes = figure.subplots()
        tips = {}
        for i, f in enumerate(reversed(arms)):
            low, high = (
                (f.accuracy.low, f.accuracy.high) if f.accuracy.known else (f.accuracy.mean, f.accuracy.mean)
            )
            color = colors.training if f.detected else colors.validation
            axes.plot([low * 100, high * 100], [i, i], color=color, linewidth=1.5)
            (dot,) = axes.plot([f.accuracy.mean * 100], [i], "o", color=color, markersize=5)
            dot.set_gid(f"tip-arm-{i}")
            tips[f"tip-arm-{i}"] = f.sentence.replace("&", "and").replace("<", "below")
        axes.axvline(0, color=colors.ink, linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(arms)), [f.arm.label for f in reversed(arms)])
        axes.set(xlabel="points of validation accuracy, difference from the base, 95% interval")
        return tips

    return Drawing(
        "Difference of each arm from the base with its interval", draw, (9.6, 1.2 + 0.32 * max(1, len(arms)))
    )


def render_exploration(findings: Findings) -> str:
    """One self-contained page."""
    by_name = {s.name: s for s in sheets()}
    questions = []
    for question, step in zip(findings.questions, exploration_steps(findings)[1:], strict=True):
        sheet = by_name.get(SHEETS.get(question, ""))
        questions.append(
            {
                "step": step,
                "expected": _html(render(sheet.text, findings.facts, link=False)) if sheet else "",
                "curves": curves_of(findings, question).svg()
                if any(f.arm.curve for f in findings.of(question))
                else "",
            }
        )
    return render_template(
        "experiments/exploration.html.j2",
        findings=findings,
        base=exploration_steps(findings)[0],
        questions=questions,
        forest=forest(findings).svg() if findings.arms else "",
    )


def _html(markdown: str) -> str:
    from markdown_it import MarkdownIt

    body = markdown.split("\n", 1)[1]  # without its heading, which the question replaces
    return MarkdownIt("commonmark", {"html": False}).render(body.replace("\n## ", "\n#### "))
