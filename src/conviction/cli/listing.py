"""What ``runs`` and ``doctor`` show."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from conviction.errors import ConvictionError
from conviction.report.steps import Table, printable
from conviction.report.terminal import print_table
from conviction.runs import Run


def runs_table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per run; one that cannot be read is a row that says so."""
    return [_row(run) for run in runs]


def _row(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"run": str(run.path), "status": run.status}
    try:
        row["source"] = run.data["source"]
        row["recipe"] = run.config.recipe
        row["epochs"] = len(run.history)
        if run.status == "done":
            row["test_accuracy"] = run.evaluation.accuracy
            row["test_accuracy_ci95"] = run.evaluation.accuracy_ci95
            row["validation_accuracy"] = run.evaluation.validation["accuracy"]
    except (ConvictionError, KeyError, TypeError) as failure:
        row["status"] = getattr(failure, "state", "damaged")
        row["reason"] = str(failure)
    return row


def print_runs(rows: Sequence[dict[str, Any]]) -> None:
    """A table on stdout."""
    cells = []
    for row in rows:
        interval = row.get("test_accuracy_ci95")
        test = "sealed" if row["status"] == "done" else row.get("reason", "")
        if interval:
            low, high = interval
            test = f"{row['test_accuracy']:.2%} [{100 * low:.2f}, {100 * high:.2f}]"
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
            )
        )
    head = ("run", "status", "source", "recipe", "epochs", "validation", "test [95% interval]")
    print_table(Table(head, tuple(cells), right=(4, 5)))


def cache_contents() -> dict[str, Any]:
    """Where the cache is, how large it may become, and what is in it."""
    from dataclasses import asdict

    from conviction.data.cache import cache_root, entries, limit_bytes

    return {
        "cache": str(cache_root()),
        "limit_bytes": limit_bytes(),
        "entries": [asdict(entry) for entry in entries()],
    }


def print_cache(contents: dict[str, Any], freed: int | None) -> None:
    """The same for people, on stdout."""
    if freed is not None:
        print(f"Removed {freed / 1e6:,.1f} MB from {contents['cache']}.")
        return
    total = sum(entry["bytes"] for entry in contents["entries"])
    print(f"{contents['cache']}: {total / 1e6:,.1f} MB of at most {contents['limit_bytes'] / 1e9:,.1f} GB.")
    rows = tuple(
        (
            printable(entry["name"]),
            "x".join(map(str, entry["shape"])),
            f"{entry['bytes'] / 1e6:,.1f}",
            datetime.fromtimestamp(entry["last_used"]).astimezone().strftime("%Y-%m-%d %H:%M"),
        )
        for entry in contents["entries"]
    )
    if rows:
        print_table(
            Table(("source", "images x height x width x channels", "MB", "last used"), rows, right=(2,))
        )


def diagnose(data_dir: Path | None) -> dict[str, Any]:
    """Versions, backend, devices, cores, whether bfloat16 is in hardware, where data sets are found."""
    from conviction.backend import import_keras, quiet_stderr
    from conviction.data.named import NAMED_SETS, data_folders, find_in
    from conviction.evaluation.ledger import ledger_path
    from conviction.runs.environment import describe_environment

    keras = import_keras()
    with quiet_stderr():
        devices = list(keras.distribution.list_devices()) or ["cpu"]
    folders = data_folders(data_dir)
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"
    found: dict[str, str | None] = {"digits": "scikit-learn"}
    for name in NAMED_SETS:
        if name != "digits":
            places = [find_in(f, name) for f in [*folders, cache]]
            found[name] = next((str(p) for p in places if p), None)
    return {
        **describe_environment(),
        "devices": devices,
        "data_folders": [str(f) for f in folders],
        "data_sets": found,
        "ledger": str(ledger_path()),
    }


def print_diagnosis(found: dict[str, Any]) -> None:
    """The same for people, on stdout."""
    for name, version in found["versions"].items():
        print(f"{name:<24}{version}")
    print()
    for name, value in found["hardware"].items():
        text = {True: "yes", False: "no", None: "unknown"}[value] if value in (True, False, None) else value
        print(f"{name.replace('_', ' '):<24}{text}")
    print(f"{'devices':<24}{', '.join(found['devices'])}")
    print()
    folders = ", ".join(found["data_folders"]) or "none (set CONVICTION_DATA_DIR or use --data-dir)"
    print(f"{'data folders':<24}{folders}")
    for name, place in found["data_sets"].items():
        print(f"{name:<24}{place or 'not here; Keras downloads it when asked for'}")
    print(f"{'ledger of openings':<24}{found['ledger']}")
