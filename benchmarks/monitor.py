"""``make bench-monitor``: how often curves and verdicts are right on planted trainings that the tests do not draw.

    python benchmarks/monitor.py [--draws 3] [--each 600] [--cases 100]

tests/training/curves.py plants the curves and tests/evaluation/planted.py the gaps beside them; the truth of both is
known, and ``read_curves`` and ``judge`` of the package read them. Copy what it prints, with the command, to
docs/measurements.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from conviction.evaluation.gap import LARGE, NORMAL
from conviction.evaluation.verdict import ENOUGH_POWER
from conviction.training.monitor import read_curves
from tests.evaluation.planted import GAPS, IMAGES, Case, draw
from tests.training.curves import CLASSES, KINDS, Planted, plant

# The tests draw from other seeds.
VERDICT_SEED = 7


def kind_of(curve: Planted, epochs: int | None = None) -> str:
    """Whether at the end, or live after a number of epochs."""
    rows = curve.history[:epochs]
    return read_curves(rows, classes=CLASSES, validation_images=curve.images, finished=epochs is None).kind


def false_alarm(curve: Planted) -> bool:
    """Whether a turn is seen after any epoch, or at the end."""
    return any(kind_of(curve, n) == "turned" for n in [None, *range(1, len(curve.history) + 1)])


def curves(draws: int, each: int) -> None:
    """Prints how often curves are read rightly."""
    print(f"| seed | {' | '.join(KINDS)} | a turn seen at any epoch of a run without one |")
    print("|" + "---|" * (len(KINDS) + 2))
    for seed in range(1, draws + 1):
        rng = np.random.default_rng(seed)
        planted = {kind: [plant(kind, rng) for _ in range(each)] for kind in KINDS}
        right = [100 * np.mean([kind_of(c) == kind for c in planted[kind]]) for kind in KINDS]
        quiet = [c for kind in ("settled", "underfitting", "still improving") for c in planted[kind]]
        alarms = 100 * np.mean([false_alarm(c) for c in quiet])
        print(f"| {seed} | {' | '.join(f'{share:.1f}' for share in right)} | {alarms:.1f} |", flush=True)


def share(which: list[bool]) -> str:
    """The share in percent, and of how many; a dash if there are none."""
    return f"{100 * np.mean(which):.1f} ({len(which):,})" if which else "-"


def line(name: str, cases: list[Case]) -> str:
    """One row of the table of verdicts."""
    kinds = [case.verdict.kind for case in cases]
    claims = [case.right for case, kind in zip(cases, kinds, strict=True) if kind != "cannot tell"]
    small = [case.verdict.kind == "memorising" for case in cases if not case.turn and case.gap <= NORMAL]
    large = [case.verdict.kind == "fitting well" for case in cases if not case.turn and case.gap > LARGE]
    unpowered = sum(
        case.verdict.kind == "fitting well"
        and min(case.verdict.power.turn, case.verdict.power.gap) < ENOUGH_POWER
        for case in cases
    )
    silent = 100 * kinds.count("cannot tell") / len(kinds)
    shares = " | ".join(map(share, ([case.right for case in cases], claims, small, large)))
    return f"| {name} | {shares} | {unpowered} | {silent:.0f} |"


def verdicts(each: int) -> None:
    """Prints how often verdicts are right, by the number of validation images and by the true gap."""
    rng = np.random.default_rng(VERDICT_SEED)
    cases = [
        c for n in IMAGES for gap in GAPS for turn in (False, True) for c in draw(n, gap, turn, each, rng)
    ]
    print(
        "\n| trainings | right | right where it claims something | memorising said, true gap up to 5 points | fitting "
        "well said, true gap above 10 | fitting well said, power below one half | cannot tell |"
    )
    print("|" + "---|" * 7)
    print(line("all", cases))
    for n in IMAGES:
        print(line(f"{n:,} images", [c for c in cases if c.images == n]))
    for gap in GAPS:
        print(line(f"gap of {100 * gap:.0f} points", [c for c in cases if c.gap == gap]))


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--each", type=int, default=600)
    parser.add_argument("--cases", type=int, default=100)
    options = parser.parse_args()
    curves(options.draws, options.each)
    verdicts(options.cases)


if __name__ == "__main__":
    main()
