"""``make bench-gpu``: what ``conviction fit`` makes of a GPU with Keras on JAX, from files to the report.

    python benchmarks/gpu.py [--anyway] [--data fashion_mnist cifar10-jpeg75.zip] [--keys KEY=VALUE ...]

Each data set is trained twice by ``conviction fit`` in a process of its own: the first run compiles, the second finds
what JAX has compiled in the cache. Images a second are those of the fastest epoch, as ``timing.csv`` has them; seconds
to an accuracy are those of training until validation images first reach it, compilation included. Each run opens the
test set once. The peak is that of a bfloat16 product of two square matrices in the same session. Needs JAX, Keras and
this package, and no TensorFlow. Without a GPU it ends with exit code 2, unless --anyway. Copy what it prints, with the
command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# By data: keys of the specification, and validation accuracies to reach.
RUNS = {
    "fashion": [(["recipe=fast"], [0.906]), (["recipe=best"], [0.906, 0.944])],
    "cifar": [(["recipe=fast"], [0.673]), (["recipe=best"], [0.673, 0.885, 0.90])],
    "digits": [(["recipe=fast"], [0.9])],
}
# In a process of its own, which does not keep the memory of the card.
PEAK = """
import sys, time
import jax, jax.numpy as jnp
size = 1024 if jax.default_backend() == "cpu" else 8192
a = jnp.ones((size, size), jnp.bfloat16)
multiply = jax.jit(lambda a: a @ a)
multiply(a).block_until_ready()
took = []
for _ in range(10):
    began = time.perf_counter()
    multiply(a).block_until_ready()
    took.append(time.perf_counter() - began)
print(jax.default_backend(), 2 * size**3 / min(took), jax.devices()[0].device_kind, sep="\\t")
"""


def environment() -> dict[str, str]:
    """That of a user who has chosen JAX."""
    return {**os.environ, "KERAS_BACKEND": "jax"}


def race(source: str, keys: list[str], targets: list[float], peak: float, cache: Path) -> dict[str, Any]:
    """Trains by ``conviction fit`` and says how fast, and when which accuracy was reached."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "conviction", "fit", source, *keys, "--out", str(run)]
        began = time.perf_counter()
        subprocess.run(
            command,
            env={**environment(), "CONVICTION_CACHE": str(cache)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.perf_counter() - began
        timing, history = (
            list(csv.DictReader((run / name).open())) for name in ("timing.csv", "history.csv")
        )
        facts = json.loads((run / "environment.json").read_text())
        test = json.loads((run / "evaluation.json").read_text())["test"]
        summary = json.loads(
            subprocess.run(
                [sys.executable, "-m", "conviction", "summary", source, *keys, "--json"],
                env={**environment(), "CONVICTION_CACHE": str(cache)},
                capture_output=True,
                check=True,
            ).stdout
        )
    rate = max(float(row["images_per_second"]) for row in timing)
    flops = 6 * sum(layer["multiply_adds"] for layer in summary["layers"]) * rate
    reached, trained = {}, 0.0
    for row, figures in zip(timing, history, strict=True):
        trained += float(row["train_seconds"])
        for target in targets:
            if float(figures["val_accuracy"]) >= target:
                reached.setdefault(str(target), round(trained, 2))
    return {
        "source": Path(source).name,
        "keys": keys,
        "epochs": len(history),
        "images_per_second": round(rate),
        "flops": flops,
        "share_of_peak": flops / peak,
        "command_seconds": round(seconds, 1),
        "training_seconds": round(facts["seconds"]["training"], 1),
        "first_epoch_seconds": round(float(timing[0]["train_seconds"]), 2),
        "seconds_to_validation_accuracy": reached,
        "validation_accuracy": float(history[-1]["val_accuracy"]),
        "test_accuracy": test["accuracy"],
    }


def main() -> None:
    """Measures each run, and prints a line of JSON for it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anyway", action="store_true", help="run on a CPU as well, to try it out")
    parser.add_argument("--data", nargs="+", default=["fashion_mnist", "cifar10-jpeg75.zip"])
    parser.add_argument("--keys", nargs="*", default=[], help="after those of the recipe")
    chosen = parser.parse_args()
    done = subprocess.run(
        [sys.executable, "-c", PEAK], env=environment(), capture_output=True, text=True, check=True
    )
    platform, text, device = done.stdout.strip().split("\t")
    if platform == "cpu" and not chosen.anyway:
        print("bench-gpu: JAX sees no GPU here (pip install 'jax[cuda12]').", file=sys.stderr)
        sys.exit(2)
    peak = float(text)
    print(f"{device}: {peak / 1e12:.2f} TFLOP/s in a bfloat16 matrix product", file=sys.stderr)
    data = os.environ.get("CONVICTION_DATA_DIR", "")
    with tempfile.TemporaryDirectory() as cache:
        for name in chosen.data:
            source = str(Path(data) / name) if name.endswith(".zip") else name
            for keys, targets in next(runs for start, runs in RUNS.items() if name.startswith(start)):
                for _ in ("compiling", "compiled"):
                    done_run = race(source, [*keys, *chosen.keys], targets, peak, Path(cache))
                    print(json.dumps(done_run), flush=True)


if __name__ == "__main__":
    main()
