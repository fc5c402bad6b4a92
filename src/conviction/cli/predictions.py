"""Predictions as a table, JSON or CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from conviction.data.image_set import Unreadable
from conviction.deploy import Prediction
from conviction.errors import RequestError
from conviction.report.steps import Table, printable
from conviction.report.terminal import print_table

ABSTAINED = "(unsure)"


def print_predictions(
    class_names: Sequence[str],
    predictions: Sequence[Prediction],
    unreadable: Sequence[Unreadable],
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Prints predictions on stdout and, for people, unreadable files on stderr.

    Raises:
        RequestError: Not one of the files could be read.
    """
    if not predictions:
        first = unreadable[0]
        raise RequestError(
            f"none of the {len(unreadable)} files could be read; {first.name}: {first.reason}."
        )
    if as_json:
        value = {
            "predictions": [asdict(p) for p in predictions],
            "unreadable": [asdict(u) for u in unreadable],
        }
        print(json.dumps(value, allow_nan=False))
    elif as_csv:
        _print_csv(class_names, predictions)
    else:
        _print_table(predictions)
    for u in unreadable:
        print(f"left out {printable(u.name)}: {u.reason}", file=sys.stderr)


def _print_csv(class_names: Sequence[str], predictions: Sequence[Prediction]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "label", "probability", *class_names])
    for p in predictions:
        writer.writerow([p.file, p.label or "", p.probability, *p.probabilities.values()])


def _print_table(predictions: Sequence[Prediction]) -> None:
    rows = []
    for p in predictions:
        others = sorted(p.probabilities.items(), key=lambda item: -item[1])[1:3]
        following = ", ".join(f"{name} {q:.1%}" for name, q in others)
        rows.append((printable(p.file), p.label or ABSTAINED, f"{p.probability:.1%}", following))
    print_table(Table(("file", "class", "probability", "next"), tuple(rows), right=(2,)))
