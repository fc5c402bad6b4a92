"""``make bench-lab``: ``conviction fit fashion_mnist recipe=lab`` against plain Keras, in turn.

Prints a row per run and the ratios, and appends nothing anywhere: copy what it prints, with the command,
to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PEER, UNSEEDED, OURS = "plain Keras, seeded", "plain Keras, no seed", "conviction"


def measured(command: list[str], home: Path) -> tuple[str, float]:
    """(stdout, peak memory in MB of the whole command)."""
    environment = {**os.environ, "CONVICTION_HOME": str(home)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        text = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return text, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)


def plain(folder: Path, epochs: int, seed: int | str, home: Path) -> dict[str, float]:
    """One run of the peer."""
    command = [sys.executable, str(HERE / "plain_keras.py"), str(folder), str(epochs), "64", str(seed)]
    text, memory = measured(command, home)
    return {**json.loads(text), "peak_memory_mb": memory}


def ours(epochs: int, seed: int, home: Path) -> dict[str, float]:
    """One run of the product, through its command line."""
    run = home / f"run-{seed}"
    command = [sys.executable, "-m", "conviction", "fit", "fashion_mnist", "recipe=lab"]
    command += [f"training.epochs={epochs}", f"training.seed={seed}", "--out", str(run), "--json"]
    text, memory = measured(command, home)
    environment = json.loads((run / "environment.json").read_text())
    with (run / "timing.csv").open() as file:
        epochs_taken = [
            float(r["train_seconds"]) + float(r["validation_seconds"]) for r in csv.DictReader(file)
        ]
    with (run / "history.csv").open() as file:
        best = max(float(row["val_accuracy"]) for row in csv.DictReader(file))
    return {
        "training_seconds": environment["seconds"]["training"],
        # On a machine whose speed doubles and halves, both can only be compared by their fastest epoch.
        "fastest_epoch_seconds": min(epochs_taken),
        "best_val_accuracy": best,
        "test_accuracy": json.loads(text)["evaluation"]["test"]["accuracy"],
        "peak_memory_mb": memory,
    }


def main() -> None:
    """Runs both in turn for every seed and prints rows, means and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    data = os.environ.get("CONVICTION_DATA_DIR")
    folder = Path(data or "") / "fashion-mnist"
    if not folder.is_dir():
        raise SystemExit("bench-lab needs fashion-mnist/*.gz in CONVICTION_DATA_DIR.")
    rows: dict[str, list[dict[str, float]]] = {PEER: [], UNSEEDED: [], OURS: []}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.seeds):
            rows[PEER].append(plain(folder, options.epochs, seed, Path(scratch)))
            rows[OURS].append(ours(options.epochs, seed, Path(scratch)))
            rows[UNSEEDED].append(plain(folder, options.epochs, "none", Path(scratch)))
            for name, runs in rows.items():
                print(f"{name:<22} seed {seed}  {_row(runs[-1])}", flush=True)
    summarise(rows)


def summarise(rows: dict[str, list[dict[str, float]]]) -> None:
    """Means with their spread, then differences and ratios seed by seed."""
    for name, runs in rows.items():
        mean = {k: statistics.mean(r[k] for r in runs) for k in runs[0]}
        spread = {k: statistics.stdev(r[k] for r in runs) if len(runs) > 1 else 0.0 for k in runs[0]}
        print(f"{name:<22} mean    {_row(mean)}\n{name:<22} sd      {_row(spread)}")
    for peer in (PEER, UNSEEDED):
        pairs = list(zip(rows[OURS], rows[peer], strict=True))
        for key in ("test_accuracy", "best_val_accuracy"):
            print(
                f"against {peer}: {key} {statistics.mean(a[key] - b[key] for a, b in pairs):+.4f} on average"
            )
        for key in ("training_seconds", "fastest_epoch_seconds", "peak_memory_mb"):
            ratios = [a[key] / b[key] for a, b in pairs]
            each = ", ".join(f"{r:.3f}" for r in ratios)
            print(f"against {peer}: {key} ratios {each}; median {statistics.median(ratios):.3f}")


def _row(values: dict[str, float]) -> str:
    return (
        f"{values['training_seconds']:7.1f} s  fastest epoch {values['fastest_epoch_seconds']:6.2f} s  "
        f"best validation {values['best_val_accuracy']:.4f}  test {values['test_accuracy']:.4f}  "
        f"peak {values['peak_memory_mb']:5.0f} MB"
    )


if __name__ == "__main__":
    main()
