"""``make bench-speed``: how soon the recipes reach the accuracy of the lab in plain Keras, in the same run.

    python benchmarks/speed.py [rates] [fast] [best] [--seeds N]

Plain Keras is scored on the test set after every epoch, and its best is taken; the recipes open it once. Seconds
count from the start of the first step to the last update of the weights, including tracing and validation, but not
loading. Copy what it prints, with the command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
EPOCHS = 12


def printed(command: list[object]) -> Any:
    """What a program prints last, as JSON."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def plain(arrays: Path, epochs: int, batch: int, seed: int) -> dict[str, float]:
    """One run of the peer."""
    return printed([HERE / "plain_keras.py", arrays, epochs, batch, seed])


def ours(source: object, work: Path, *keys: str) -> dict[str, float]:
    """One run of the product, through its command line; ``keys`` as a user types them."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        run = Path(folder) / "run"
        shown = printed(["-m", "conviction", "fit", source, *keys, "--out", run, "--json"])
        environment = json.loads((run / "environment.json").read_text())
        timing = np.genfromtxt(run / "timing.csv", delimiter=",", names=True, ndmin=1)
    test = shown["evaluation"]["test"]
    epoch = float(min(timing["train_seconds"] + timing["validation_seconds"]))
    return {
        "seconds": environment["seconds"]["training"],
        "epoch": epoch,
        "at the speed of the fastest epoch": epoch * len(timing),
        "accuracy": test["accuracy"] if test else float("nan"),
        "memory": environment["peak_memory_bytes"] / 1e6,
    }


def sources(work: Path) -> dict[str, tuple[object, Path]]:
    """By name: what the product is given, and the same images as arrays for the peer."""
    from conviction.config import DataSpec
    from conviction.data import load_source

    place = os.environ.get("CONVICTION_DATA_DIR")
    if not place:
        sys.exit("Set CONVICTION_DATA_DIR to a folder with fashion-mnist/ and cifar10-jpeg75.zip.")
    images = load_source(str(Path(place) / "cifar10-jpeg75.zip"), DataSpec())
    # The peer holds back the last tenth, so classes must not come one after the other as in a folder.
    order = np.random.default_rng(0).permutation(len(images))
    test = images.parts[order] == "test"
    x, y = images.pixels[order], images.labels[order]
    np.savez(work / "cifar.npz", x_train=x[~test], y_train=y[~test], x_test=x[test], y_test=y[test])
    return {
        "Fashion-MNIST": ("fashion_mnist", Path(place) / "fashion-mnist"),
        "CIFAR-10": (Path(place) / "cifar10-jpeg75.zip", work / "cifar.npz"),
    }


def rates(work: Path, seeds: int) -> None:
    """The lab's network, the fastest epoch of each, in turn."""
    print("\nThe lab's network: seconds of the fastest of 2 epochs, validation included")
    for name, (source, arrays) in sources(work).items():
        for batch in (64, 256):
            keys = [
                "recipe=lab",
                f"training.batch_size={batch}",
                "training.epochs=2",
                "evaluation.test=false",
            ]
            ratios = {"auto": [], "float32": []}
            for seed in range(seeds):
                peer = plain(arrays, 2, batch, seed)["fastest_epoch_seconds"]
                for precision, found in ratios.items():
                    mine = ours(
                        source, work, *keys, f"training.precision={precision}", f"training.seed={seed}"
                    )
                    found.append(peer / mine["epoch"])
            for precision, found in ratios.items():
                each = ", ".join(f"{r:.2f}" for r in found)
                print(
                    f"{name}, batch {batch}, {precision}: {statistics.median(found):.2f} times ({each})",
                    flush=True,
                )


def race(work: Path, recipe: str, seeds: int) -> None:
    """A recipe over several seeds, beside one run of the peer."""
    print(f"\nrecipe={recipe}, {seeds} seeds")
    for name, (source, arrays) in sources(work).items():
        peer = plain(arrays, EPOCHS, 64, 0)
        print(
            f"{name}: plain Keras reaches {peer['best_test_accuracy']:.4f} (its best of {EPOCHS} epochs) at "
            f"{peer['seconds_to_best']:.1f} s of {peer['training_seconds']:.1f} s, peak "
            f"{peer['peak_memory_mb']:.0f} MB",
            flush=True,
        )
        runs = []
        for seed in range(seeds):
            runs.append(ours(source, work, f"recipe={recipe}", f"training.seed={seed}"))
            print(f"    {seed}: {runs[-1]['accuracy']:.4f} in {runs[-1]['seconds']:.1f} s", flush=True)
        units = {"accuracy": "", "seconds": " s", "at the speed of the fastest epoch": " s", "memory": " MB"}
        for key, unit in units.items():
            values = [run[key] for run in runs]
            spread = statistics.stdev(values) if seeds > 1 else float("nan")
            each = ", ".join(f"{v:.4g}" for v in values)
            print(f"    {key}: mean {statistics.mean(values):.4f}{unit}, sd {spread:.4f} ({each})")
        ratio = peer["seconds_to_best"] / statistics.mean(run["seconds"] for run in runs)
        print(f"    {ratio:.1f} times as fast as plain Keras to its best", flush=True)


def main() -> None:
    """Runs the parts that were named, or all."""
    parts = ["rates", "fast", "best"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default all")
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    for part in chosen.parts or parts:
        with tempfile.TemporaryDirectory(prefix="bench-speed-") as work:
            os.environ["CONVICTION_HOME"] = f"{work}/home"
            if part == "rates":
                rates(Path(work), chosen.seeds)
            else:
                race(Path(work), part, chosen.seeds)


if __name__ == "__main__":
    main()
