"""``make bench-kill``: 200 kills, the seconds from a signal to the end, and what checkpoints cost.

    python benchmarks/kill.py [--kills N]

Every run must end with the same history and weights as one that nobody interrupted. Copy what it prints, with the
command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.cli.kills import KEYS, fingerprint, kill_until_done

SIGNALS = 5


def kills(work: Path, wanted: int) -> None:
    """Makes runs, each killed up to ten times, until the number of kills is reached."""
    subprocess.run(
        [sys.executable, "-m", "conviction", "fit", "digits", *KEYS, "--out", "whole"],
        cwd=work,
        check=True,
        capture_output=True,
    )
    whole, died, runs = fingerprint(work / "whole"), 0, 0
    while died < wanted:
        place = work / "killed"
        place.mkdir()
        died += kill_until_done("digits", place, os.environ, min(10, wanted - died), seed=runs)
        if fingerprint(place / "run") != whole:
            sys.exit(f"Run {runs} ended with other bits; see {place}.")
        shutil.rmtree(place)
        runs += 1
        print(
            f"{died} kills in {runs} runs, all with the bits of the run that was not interrupted", flush=True
        )


def signals(work: Path) -> None:
    """How long a run of the lab's network on Fashion-MNIST takes from SIGTERM to its end."""
    took = []
    for number in range(SIGNALS):
        process = subprocess.Popen(
            [
                sys.executable,
                "-u",
                "-m",
                "conviction",
                "fit",
                "fashion_mnist",
                "recipe=lab",
                "--out",
                f"s{number}",
            ],
            cwd=work,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        next(line for line in process.stdout if line.split()[:1] == ["1"] and "%" in line)
        sent = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.communicate()
        took.append(time.perf_counter() - sent)
    print(
        f"from SIGTERM to the end: median {statistics.median(took):.2f} s, longest {max(took):.2f} s of {SIGNALS}"
    )


def cost(work: Path) -> None:
    """The share of training that is spent on checkpoints, for the lab's network on Fashion-MNIST."""
    from conviction import fit
    from conviction.training.recorder import Recorder

    spent = []
    keep = Recorder._keep

    def timed(self: Recorder) -> None:
        began = time.perf_counter()
        keep(self)
        spent.append(time.perf_counter() - began)

    Recorder._keep = timed  # type: ignore[method-assign]
    run = fit(
        "fashion_mnist", ["recipe=lab", "training.epochs=4", "evaluation.test=false"], out=work / "cost"
    )
    seconds = run.environment.seconds["training"]
    size = max(p.stat().st_size for p in (run.path / "checkpoints").iterdir())
    print(
        f"checkpoints: {len(spent)} of {size / 1e6:.1f} MB in {sum(spent):.2f} s of {seconds:.1f} s of training, "
        f"{sum(spent) / seconds:.2%}; the longest {max(spent):.3f} s"
    )


def main() -> None:
    """Runs all three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-kill-") as name:
        work = Path(name)
        os.environ["CONVICTION_HOME"] = f"{work}/home"
        cost(work)
        signals(work)
        kills(work, chosen.kills)


if __name__ == "__main__":
    main()
