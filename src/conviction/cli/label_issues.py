"""``conviction mistakes`` and ``conviction suspects``: every image that is worth another look, also as a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import Json, print_json

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
MOST_SHOWN = 20
# What parts are called beside "images".
PARTS = {"train": "training", "validation": "validation", "test": "test"}


def mistakes(
    run: RunArgument,
    part: Annotated[
        str | None,
        typer.Option(
            "--part", help="train, validation or test; default test, or validation while the test is sealed."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write them all as a CSV. Write the right class into its column 'proposed' where a label is wrong; "
            "fit --relabel takes it.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the images that a run gets wrong, the surest first."""
    from conviction.runs import label_issues, open_run

    opened = open_run(run)
    part = label_issues.part_to_show(opened, part)
    rows = label_issues.mistakes(opened, part)
    if out is not None:
        label_issues.write_corrections(out, rows, label_issues.Mistake)
    if as_json:
        print_json({"part": part, "mistakes": [asdict(row) for row in rows]})
        return
    total = opened.evaluation.parts[part].n
    print(f"{len(rows):,} of {total:,} {PARTS[part]} images are answered wrongly.")
    body = [(row.file, row.label, row.predicted, f"{row.probability:.1%}") for row in rows]
    _print(("image", "label", "called", "probability"), body)
    if out is not None:
        print(
            f"\nAll are in {out}. Where a label is wrong, write the right class into the column 'proposed', and give "
            "the file to: conviction fit SOURCE --relabel"
        )


def suspects(
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write them all as a CSV. Delete the lines that you disagree with; fit --relabel takes the rest.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the images whose label is probably wrong, the surest first, by confident learning."""
    from conviction.runs import label_issues, open_run

    opened = open_run(run)
    rows = label_issues.label_issues(opened)
    if out is not None:
        label_issues.write_corrections(out, rows, label_issues.LabelIssue)
    if as_json:
        print_json({"suspects": [asdict(row) for row in rows]})
        return
    folds = opened.config.evaluation.folds is not None
    if rows:
        print(f"{len(rows):,} {'label is' if len(rows) == 1 else 'labels are'} probably wrong.")
    else:
        print(
            "No label is probably wrong. A network that is often unsure or wrong itself would not notice many."
        )
    if not folds:
        print("Labels of training images were not judged; with fit ... evaluation.folds=5 they are.")
    body = [(row.file, row.part, row.label, row.proposed, f"{row.margin:.2f}") for row in rows]
    _print(("image", "part", "label", "likelier", "by"), body)
    if out is not None:
        print(
            f"\nAll are in {out}. Look at each picture, delete the lines that you disagree with, and give the file to: "
            "conviction fit SOURCE --relabel"
        )


def _print(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """The first rows as a table."""
    from conviction.errors import printable
    from conviction.reporting import Table, print_table

    if not rows:
        return
    print()
    last = (len(columns) - 1,)
    print_table(Table(columns, tuple(tuple(map(printable, row)) for row in rows[:MOST_SHOWN]), last))
    if len(rows) > MOST_SHOWN:
        print(f"and {len(rows) - MOST_SHOWN:,} more; --out FILE.csv writes them all.")
