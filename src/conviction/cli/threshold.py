"""``conviction threshold``: from which probability on pictures are of a class, and when it is better to abstain."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from conviction.cli.options import Json, print_json
from conviction.errors import RequestError

if TYPE_CHECKING:
    from conviction.evaluation.operating import Coverage, Interval, OperatingPoint
    from conviction.runs import RunFolder


def threshold(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    value: Annotated[
        str | None,
        typer.Argument(
            metavar="[THRESHOLD]",
            help="Set it: a probability; auto, for the best one on the validation images; or none.",
        ),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="The class it is about; default the second of the two.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what thresholds and abstaining do on the validation images, and set the threshold of two classes."""
    from conviction.flow.threshold import class_to_decide, coverages_of, points_of, set_threshold
    from conviction.runs import open_run

    if value is not None:
        set_threshold(run, _number(value), class_name)
    opened = open_run(run)
    two = len(opened.class_names) == 2
    name = class_to_decide(opened, class_name) if two or class_name is not None else ""
    points = points_of(opened, class_name=name) if two else []
    tested = points_of(opened, "test", name) if two and opened.evaluation.test else []
    covered = coverages_of(opened)
    if as_json:
        print_json(
            {
                "decision": None if opened.decision is None else opened.decision.model_dump(),
                "validation": [asdict(p) for p in points],
                "test": [asdict(p) for p in tested],
                "coverage": [asdict(c) for c in covered],
            }
        )
        return
    if two:
        _print_points(opened, name, points, tested)
    _print_coverage(covered)
    if value is not None:
        print("\nArtefacts that were exported before answer as before: export them again.")


def _number(value: str) -> float | Literal["auto"] | None:
    if value == "auto":
        return "auto"
    if value == "none":
        return None
    try:
        return float(value)
    except ValueError:
        raise RequestError(
            f"threshold: expected a probability between 0 and 1, auto or none; got '{value}'."
        ) from None


def _print_points(
    run: RunFolder, name: str, points: list[OperatingPoint], tested: list[OperatingPoint]
) -> None:
    from conviction.errors import printable
    from conviction.flow.threshold import best_threshold, threshold_of
    from conviction.reporting import Table, print_table

    own, best, called = threshold_of(run, name), best_threshold(run, name), printable(name)
    print(f"A picture is {called} from a probability of {own:.4g} on. On the validation images:\n")
    notes = {best: "highest balanced accuracy"}
    notes[own] = f"set, {notes[own]}" if own in notes else "set"
    body = tuple((*_figures(p), notes.get(p.threshold, "")) for p in points)
    columns = ("from", "called so", f"{called} found", "others rejected", "right when called so")
    print_table(Table((*columns, ""), body, (0, 1, 2, 3, 4), whole=True))
    for point in tested:
        print("\nOn the test images, as it is set:\n")
        print_table(Table(columns, (_figures(point),), (0, 1, 2, 3, 4), whole=True))


def _figures(point: OperatingPoint) -> tuple[str, ...]:
    precision = "" if point.precision is None else _share(point.precision, point.precision_ci95)
    return (
        f"{point.threshold:.4g}",
        f"{point.called:,}",
        _share(point.recall, point.recall_ci95),
        _share(point.specificity, point.specificity_ci95),
        precision,
    )


def _print_coverage(rows: list[Coverage]) -> None:
    from conviction.reporting import Table, print_table

    print("\nIf it abstains where its highest probability is lower (predict --abstain-below):\n")
    body = tuple(
        (
            f"{row.abstain_below:g}",
            f"{row.coverage:.1%}",
            "" if row.accuracy is None else _share(row.accuracy, row.accuracy_ci95),
        )
        for row in rows
    )
    print_table(Table(("abstain below", "answered", "right of these"), body, (0, 1, 2), whole=True))


def _share(value: float, interval: Interval | None) -> str:
    low, high = interval or (value, value)
    return f"{value:.1%} ({low:.1%} to {high:.1%})"
