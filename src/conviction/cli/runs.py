"""``conviction runs``: the runs in a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conviction.cli.options import Json, print_json
from conviction.errors import ConvictionError

if TYPE_CHECKING:
    from conviction.runs import RunFolder


def runs(
    root: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the run folders are.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder, oldest first."""
    from conviction.runs import list_runs

    rows = runs_table(list_runs(root))
    if as_json:
        print_json({"runs": rows})
        return
    if not rows:
        print(f"No runs in {root}. Make one with: conviction fit digits", file=sys.stderr)
        return

    print_runs(rows)


def runs_table(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """One row per run; one that cannot be read is a row that says so."""
    return [_row(run) for run in runs]


def _row(run: RunFolder) -> dict[str, Any]:
    from conviction.runs.notes import read_note

    row: dict[str, Any] = {"run": str(run.path), "status": run.status}
    if note := read_note(run.path):
        row["note"] = note
    try:
        row["source"] = run.data.source
        row["recipe"] = run.config.recipe
        row["epochs"] = len(run.epoch_rows)
        if run.status == "done":
            row["test_accuracy"] = run.evaluation.accuracy
            row["test_accuracy_ci95"] = run.evaluation.accuracy_ci95
            row["validation_accuracy"] = run.evaluation.validation.accuracy
            folds = run.evaluation.folds
            if folds is not None:
                row["folds_accuracy"], row["folds_accuracy_ci95"] = folds.accuracy.value, folds.accuracy.ci95
    except (ConvictionError, KeyError, TypeError) as failure:
        row["status"] = getattr(failure, "state", "damaged")
        row["reason"] = str(failure)
    return row


def print_runs(rows: Sequence[dict[str, Any]]) -> None:
    """A table on stdout."""
    from conviction.reporting import Table, print_table, printable

    cells = []
    some_folds = any("folds_accuracy" in row for row in rows)
    some_notes = any("note" in row for row in rows)
    for row in rows:
        test = _figure(row, "test") or ("sealed" if row["status"] == "done" else row.get("reason", ""))
        validation = row.get("validation_accuracy")
        cells.append(
            (
                row["run"],
                row["status"],
                row.get("source", ""),
                row.get("recipe", ""),
                str(row.get("epochs", "")),
                "" if validation is None else f"{validation:.2%}",
                test,
                *([_figure(row, "folds")] if some_folds else []),
                *([printable(row.get("note", ""))] if some_notes else []),
            )
        )
    head = ["run", "status", "source", "recipe", "epochs", "validation", "test [95% interval]"]
    if some_folds:
        head.append("cross-validation [95% interval]")
    if some_notes:
        head.append("note")
    print_table(Table(tuple(head), tuple(cells), right=(4, 5)))


def _figure(row: dict[str, Any], name: str) -> str:
    """An accuracy with its interval, if there is one."""
    interval = row.get(f"{name}_accuracy_ci95")
    if not interval:
        return ""
    low, high = interval
    return f"{row[f'{name}_accuracy']:.2%} [{100 * low:.2f}, {100 * high:.2f}]"
