"""Answers the lab's last chapter: every question of `conviction explore` on Fashion-MNIST, with pictures.

    CONVICTION_DATA_DIR=... python benchmarks/explore.py [--seeds 3] [--budget 15000] [--out explorations/findings]

Says how long it took, draws `docs/pictures/findings.svg` and the curves of each question, and prints the sentences and
tables that `docs/findings.md` holds. The same call continues where it was
stopped; its time is then that of the last part.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"


def main() -> None:
    """Runs, draws, prints."""
    from conviction.experiments import arms_for, exploration_steps, findings, plan, run_plan
    from conviction.experiments.exploration_page import curves_of, forest
    from conviction.experiments.study import keep
    from conviction.pool.executors import Local
    from conviction.reporting.board import Board

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=15_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("explorations/findings"))
    given = parser.parse_args()
    began = time.monotonic()
    arms = arms_for(["all"], [], {})
    # Half as many validation images as usual: looking at them takes as long as learning from so few.
    keys = {"training.epochs": given.epochs, "data.validation": 0.05}
    planned = plan("fashion_mnist", keys, arms, seeds=given.seeds, budget=given.budget)
    trials = run_plan(planned, given.out, executor=Local(given.jobs), watch=Board(sys.stderr))
    found = findings(planned, trials)
    keep(given.out, found)
    minutes = (time.monotonic() - began) / 60
    PICTURES.mkdir(exist_ok=True)
    forest(found).save(PICTURES / "findings.svg")
    print(f"{minutes:.1f} minutes with {given.jobs} jobs.\n")
    for step, question in zip(exploration_steps(found), ["", *found.questions], strict=True):
        if question:
            curves_of(found, question).save(PICTURES / f"findings-{question}.svg")
        print(f"\n## {step.title}\n")
        print("\n\n".join(step.sentences))
        if step.table:
            print(f"\n| {' | '.join(step.table.columns)} |\n|{'---|' * len(step.table.columns)}")
            for row in step.table.rows:
                print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
