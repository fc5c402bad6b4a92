"""``make bench-monitor``: how often the overfitting monitor is right on planted curves that its tests do not draw.

    python benchmarks/monitor.py [--draws 3] [--each 600]

tests/training/curves.py plants the curves, whose truth is known. Copy what it prints, with the command, to
docs/measurements.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from conviction.training.monitor import read_curves
from tests.training.curves import CLASSES, KINDS, Planted, plant


def kind_of(curve: Planted, epochs: int | None = None) -> str:
    """At the end, or live after so many epochs."""
    rows = curve.history[:epochs]
    return read_curves(rows, classes=CLASSES, validation_images=curve.images, finished=epochs is None).kind


def false_alarm(curve: Planted) -> bool:
    """Whether overfitting is said after any epoch, or at the end."""
    return any(kind_of(curve, n) == "overfitting" for n in [None, *range(1, len(curve.history) + 1)])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--each", type=int, default=600)
    options = parser.parse_args()
    print(f"| seed | {' | '.join(KINDS)} | overfitting said at any epoch of a run that does not overfit |")
    print("|" + "---|" * (len(KINDS) + 2))
    for seed in range(1, options.draws + 1):
        rng = np.random.default_rng(seed)
        curves = {kind: [plant(kind, rng) for _ in range(options.each)] for kind in KINDS}
        right = [100 * np.mean([kind_of(c) == kind for c in curves[kind]]) for kind in KINDS]
        quiet = [c for kind in ("fitting well", "underfitting", "still improving") for c in curves[kind]]
        alarms = 100 * np.mean([false_alarm(c) for c in quiet])
        print(f"| {seed} | {' | '.join(f'{share:.1f}' for share in right)} | {alarms:.1f} |", flush=True)


if __name__ == "__main__":
    main()
