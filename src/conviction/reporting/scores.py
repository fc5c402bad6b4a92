"""What an evaluation says, as steps and tables for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from conviction.audience import by_key
from conviction.evaluation import (
    Advice,
    Binary,
    Calibration,
    Evaluation,
    Figure,
    Part,
    Score,
    Slicing,
    openings_sentence,
)
from conviction.evaluation.calibration import COLDEST, HOTTEST
from conviction.reporting.folds import estimate_row, estimate_sentences
from conviction.reporting.steps import Step, Table, printable
from conviction.reporting.verdict import verdict_sentences

FIGURES = {
    "balanced_accuracy": ("balanced accuracy", "mean recall of the classes"),
    "macro_f1": ("macro-F1", "mean over the classes of the harmonic mean of precision and recall"),
    "top_3": ("top-3 accuracy", "the true class is among the three likeliest"),
    "top_5": ("top-5 accuracy", "the true class is among the five likeliest"),
    "log_loss": ("log loss", "mean of -log of the true class's probability; 0 is best"),
    "brier": ("Brier score", "mean squared distance of the probabilities from the truth; 0 is best"),
    "ece": ("calibration error", "mean distance between confidence and accuracy; 0 is best"),
}
SURE = 0.05
TO_TRY = "To try: "


def evaluate_step(
    evaluation: Evaluation,
    doubts: Sequence[str] = (),
    advise: Callable[[Advice], str] | None = None,
    *,
    says_sealed: bool = True,
    suggested: Sequence[str] = (),
    views: int = 1,
) -> Step:
    """Evaluate: the three parts side by side, the verdict, and what makes the figures doubtful.

    Args:
        evaluation: What is put into words.
        doubts: Sentences of the audit.
        advise: Words a piece of advice for whoever reads the step; None leaves that to whoever shows it.
        says_sealed: Whether it says so if the test set stays sealed; a page with a button for that says it there.
        suggested: Sentences on what to do to know more.
        views: Over how many versions of a picture each answer is averaged.
    """
    sentences = []
    if evaluation.test is None and says_sealed:
        sentences.append(f"The test set stays sealed{by_key('evaluation.test=false')}.")
    if evaluation.test is not None:
        sentences.append(_accuracy("Test accuracy", evaluation.test))
        sentences.append(openings_sentence(evaluation.openings))
    if views > 1:
        sentences.append(
            f"Each answer is the mean over {views} versions of the picture, mirrored"
            f"{' and shifted' if views > 2 else ''}{by_key('evaluation.views')}. It takes {views} times the arithmetic "
            "of one, also in what is exported. The figures of the epochs are for the pictures as they are."
        )
    if evaluation.folds is not None:
        sentences += estimate_sentences(evaluation.folds)
    sentences += [f"This makes the figures doubtful: {printable(doubt)}" for doubt in doubts]
    sentences += _where_it_fails(evaluation.shown)
    sentences += verdict_sentences(evaluation.verdict)
    if advise is not None and evaluation.verdict.advice:
        sentences.append(f"{TO_TRY}{'; or '.join(map(advise, evaluation.verdict.advice))}")
    if evaluation.verdict.smoothing:
        sentences.append(
            "The losses in the table are for the labels as they are; those of the epochs are for smoothed targets and "
            f"are higher, so the two cannot be compared{by_key('training.label_smoothing')}."
        )
    sentences += suggested
    rows = [_score_row(name, s) for name, s in evaluation.scored.items()]
    if evaluation.folds is not None:
        rows.append(estimate_row(evaluation.folds))
    return Step("Evaluate", tuple(sentences), Table(_HEAD, tuple(rows), (1, 2, 3, 4)))


def new_images_step(part: Part, location: str, notes: Sequence[str]) -> Step:
    """Evaluate on images that the run was not made with."""
    sentences = [_accuracy(f"Accuracy on {printable(location)}", part.score), *map(printable, notes)]
    sentences += [*_where_it_fails(part), part.confidence]
    return Step(
        "Evaluate", tuple(sentences), Table(_HEAD, (_score_row("new images", part.score),), (1, 2, 3, 4))
    )


_HEAD = ("part", "images", "loss", "accuracy", "95% interval")


def _accuracy(what: str, score: Score) -> str:
    low, high = score.accuracy_ci95
    return (
        f"{what} {score.accuracy:.2%}, 95% interval {low:.2%} to {high:.2%}; loss {score.loss:.4f}; {score.n:,} "
        f"image{'s' if score.n != 1 else ''}."
    )


def _where_it_fails(part: Part) -> list[str]:
    sentences = [printable(part.pairs)] if part.pairs else []
    if part.calibration:
        sentences.append(_calibrated(part.calibration.temperature))
    return sentences + [printable(s.sentence) for s in part.slices if s.p_value < SURE]


def _calibrated(temperature: float) -> str:
    sentence = (
        f"Its logits are divided by a temperature of {temperature:.3f}{by_key('evaluation.calibrate')}. Losses here "
        "are computed after that, those of the epochs before it."
    )
    for limit, word in ((COLDEST, "lowest"), (HOTTEST, "highest")):
        if math.isclose(temperature, limit, rel_tol=0.01):
            sentence += f" It is the {word} that is tried: the network, or so few validation images, cannot show more."
    return sentence


def _score_row(name: str, score: Score) -> tuple[str, ...]:
    low, high = score.accuracy_ci95
    return (
        name,
        f"{score.n:,}",
        f"{score.loss:.4f}",
        f"{score.accuracy:.2%}",
        f"{low:.2%} to {high:.2%}",
    )


def figures_table(figures: Mapping[str, Figure]) -> Table:
    """Each figure with its interval and what it is."""
    rows = tuple((FIGURES[name][0], *_figure(f), FIGURES[name][1]) for name, f in figures.items())
    return Table(("figure", "value", "95% interval", "what it is"), rows, (1, 2))


def calibration_table(calibration: Calibration) -> Table:
    """Figures before temperature scaling beside those after it."""
    rows = tuple(
        (FIGURES[name][0], *_figure(calibration.before[name]), *_figure(after))
        for name, after in calibration.after.items()
    )
    return Table(("figure", "before", "95% interval", "after", "95% interval"), rows, (1, 2, 3, 4))


def two_classes_table(binary: Binary) -> Table:
    """The areas, and balanced accuracy at both thresholds."""
    rows = (
        (
            "ROC AUC",
            *_figure(binary.roc_auc),
            "how often, of two images, one of each class, the right one has the higher probability",
        ),
        (
            "average precision",
            *_figure(binary.average_precision),
            f"guessing would give {binary.base_rate:.4f}",
        ),
        ("balanced accuracy at 0.5", *_figure(binary.at_half), "as the network answers"),
        (
            f"balanced accuracy at {binary.threshold:.4f}",
            *_figure(binary.at_threshold),
            "at the threshold that was best on the validation images",
        ),
    )
    return Table(("figure", "value", "95% interval", "what it is"), rows, (1, 2))


def class_table(score: Score) -> Table:
    """Precision, recall and F1 of every class with intervals; undefined ones are a dash."""
    rows = tuple(
        (
            printable(c.name),
            f"{c.support:,}",
            *(
                text
                for value, ci95 in (
                    (c.precision, c.precision_ci95),
                    (c.recall, c.recall_ci95),
                    (c.f1, c.f1_ci95),
                )
                for text in (_percent(value), _interval(ci95))
            ),
        )
        for c in score.per_class
    )
    heads = ("class", "images", "precision", "95% interval", "recall", "95% interval", "F1", "95% interval")
    return Table(heads, rows, tuple(range(1, 8)))


def slices_table(slicing: Slicing) -> Table:
    """Accuracy in each slice of one property."""
    rows = tuple(
        (printable(s.name), f"{s.n:,}", _percent(s.accuracy), _interval(s.ci95), _percent(s.expected))
        for s in slicing.slices
    )
    heads = (printable(slicing.property), "images", "accuracy", "95% interval", "from its classes alone")
    return Table(heads, rows, (1, 2, 3, 4))


def _figure(figure: Figure) -> tuple[str, str]:
    ci95 = "-" if figure.ci95 is None else f"{figure.ci95[0]:.4f} to {figure.ci95[1]:.4f}"
    return f"{figure.value:.4f}", ci95


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _interval(ci95: tuple[float, float] | None) -> str:
    return "-" if ci95 is None else f"{ci95[0]:.1%} to {ci95[1]:.1%}"
