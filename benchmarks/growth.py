"""``make bench-growth``: how the time of training grows with images, image size, filters, depth and batch.

    python benchmarks/growth.py [--repeats 3] [--picture docs/pictures/growth.svg]

Each factor is varied alone around the lab's network on seeded random images of 32x32x3, through the product's own
training. Times are the fastest of several epochs in an order drawn at random, so that a slow minute of the machine
does not look like growth. The exponent is the slope of log time over log arithmetic (multiply-adds of all images): 1
means that time grows as arithmetic does; less is better. Copy what it prints, with the command, to
docs/measurements.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BASE = {"images": 4_000, "side": 32, "filters": 1.0, "convs": 1, "batch": 64}
VARIED: dict[str, list[Any]] = {
    "images": [1_000, 2_000, 4_000, 8_000, 16_000],
    "side": [16, 24, 32, 48, 64, 96],
    "filters": [0.5, 1.0, 2.0, 4.0],
    "convs": [1, 2, 3, 4],
    "batch": [16, 32, 64, 128, 256],
}
UNITS = {
    "images": "images",
    "side": "pixels a side",
    "filters": "times the lab's filters",
    "convs": "convolutions a block",
    "batch": "images a batch",
}


@dataclass
class Case:
    """One network on a number of images."""

    factor: str
    value: Any
    precision: str
    multiply_adds: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """The base with this factor's value."""
        return {**BASE, self.factor: self.value}

    @property
    def best(self) -> float:
        """The fastest epoch in seconds."""
        return min(self.seconds)

    @property
    def work(self) -> float:
        """Multiply-adds of the forward passes of an epoch."""
        return self.multiply_adds * self.settings["images"]

    @property
    def rate(self) -> float:
        """GFLOP/s: two operations a multiply-add, and two backward products for each forward one."""
        return 6 * self.work / self.best / 1e9


def epochs(case: Case, repeats: int) -> Iterator[float]:
    """Trains the case, and gives the seconds of each epoch after the first, which traces the graph."""
    from conviction.config import TrainingSpec, load_recipe
    from conviction.model import build, compile_model, walk
    from conviction.reporting.terminal import Silent
    from conviction.training import StopRequest, steps_per_call, train

    s = case.settings
    filters = [int(32 * s["filters"]), int(64 * s["filters"])]
    # Same padding, so that any number of convolutions fits any of the sides.
    keys = ["recipe=lab", f"model.filters={filters}", f"model.convs={s['convs']}", "model.padding=same"]
    network = load_recipe(keys).model
    rows = walk(network, (s["side"], s["side"], 3), 10)
    case.multiply_adds = sum(row.multiply_adds for row in rows)
    rng = np.random.default_rng(0)
    n = s["images"]
    pixels = rng.integers(0, 256, (n + 100, s["side"], s["side"], 3), dtype=np.uint8)
    targets = np.eye(10, dtype=np.float32)[rng.integers(0, 10, n + 100)]
    spec = TrainingSpec(epochs=1 + repeats, batch_size=s["batch"], precision=case.precision)
    model = build(network, (s["side"], s["side"], 3), 10, 0, case.precision)
    compile_model(model, spec, 10, steps=1, steps_per_call=steps_per_call(spec, case.multiply_adds))
    done = train(
        model,
        pixels=pixels,
        targets=targets,
        train_indices=np.arange(n),
        validation_indices=np.arange(n, n + 100),
        spec=spec,
        watcher=Silent(),
        stop=StopRequest(),
    )
    yield from (row.train_seconds for row in done.timing[1:])


def peak(dtype: str) -> float:
    """GFLOP/s of a product of two 2048x2048 matrices, the fastest of many."""
    import tensorflow as tf

    a = tf.cast(tf.random.stateless_normal((2048, 2048), seed=(0, 0)), dtype)
    multiply = tf.function(lambda: tf.linalg.matmul(a, a))
    multiply()
    took = []
    for _ in range(20):
        began = time.perf_counter()
        multiply().numpy()
        took.append(time.perf_counter() - began)
    return 2 * 2048**3 / min(took) / 1e9


def exponent(cases: list[Case]) -> float:
    """The slope of log seconds over log arithmetic; over log batches an epoch where the arithmetic is the same."""
    work = [case.work for case in cases]
    if len(set(work)) == 1:
        work = [case.settings["images"] / case.value for case in cases]
    return float(np.polyfit(np.log(work), np.log([case.best for case in cases]), 1)[0])


def table(cases: list[Case], peaks: dict[str, float]) -> None:
    """Prints Markdown."""
    print(
        "| factor | value | precision | multiply-adds an image | ms a 1,000 images | GFLOP/s | share of peak |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        images = case.settings["images"]
        print(
            f"| {UNITS[case.factor]} | {case.value} | {case.precision} | {case.multiply_adds / 1e6:.1f} M | "
            f"{1e6 * case.best / images:.0f} | {case.rate:.0f} | {case.rate / peaks[case.precision]:.0%} |"
        )
    print()
    for factor in VARIED:
        for precision in peaks:
            found = exponent([c for c in cases if (c.factor, c.precision) == (factor, precision)])
            over = "number of batches" if factor == "batch" else "arithmetic"
            print(f"- {UNITS[factor]}, {precision}: time grows as the {over} to the power {found:.2f}.")


def draw(cases: list[Case], path: Path) -> None:
    """Time over each factor, both axes logarithmic; on the dotted line, time grows as arithmetic does."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.4), layout="constrained")
    for axes, factor in zip(figure.subplots(1, len(VARIED)), VARIED, strict=True):
        for precision, color in (("float32", "#1a5fb4"), ("bfloat16", "#b4541a")):
            mine = [c for c in cases if (c.factor, c.precision) == (factor, precision)]
            if not mine:
                continue
            axes.plot([c.value for c in mine], [c.best for c in mine], "o-", color=color, label=precision)
            if factor != "batch":
                even = [mine[0].best * c.work / mine[0].work for c in mine]
                axes.plot([c.value for c in mine], even, ":", color=color, linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel=UNITS[factor])
        axes.set_xticks(VARIED[factor], [str(v) for v in VARIED[factor]])
        axes.minorticks_off()
    figure.axes[0].set_ylabel("seconds an epoch")
    figure.axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Measures in random order, prints and draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/growth.svg"))
    chosen = parser.parse_args()
    from conviction.backend import bfloat16_in_hardware, import_keras, prepare, usable_cores

    prepare(usable_cores())
    peaks = {"float32": peak("float32")}
    if bfloat16_in_hardware():
        peaks["bfloat16"] = peak("bfloat16")
    cases = [Case(f, v, p) for f, values in VARIED.items() for v in values for p in peaks]
    rng = np.random.default_rng(0)
    for i in rng.permutation(len(cases)):
        cases[i].seconds += epochs(cases[i], chosen.repeats)
        import_keras().utils.clear_session()
    for precision, rate in peaks.items():
        print(f"Matrix product of 2048x2048, {precision}: {rate:.0f} GFLOP/s")
    print()
    table(cases, peaks)
    draw(cases, chosen.picture)


if __name__ == "__main__":
    main()
