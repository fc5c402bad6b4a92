"""``make bench-evaluation``: seconds of an evaluation, coverage of the intervals, planted label errors found.

    python benchmarks/evaluation.py [time|coverage|labels ...]

``time`` evaluates Fashion-MNIST with a network of ``recipe=fast`` and makes the report, from the loaded model on.
``coverage`` draws predictions from a known truth and counts how often each 95% interval contains it. ``labels`` gives
5% of all labels of Fashion-MNIST another class, trains on them, and looks for them among the validation and test
images. Copy what it prints, with the command, to docs/measurements.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import binom

from conviction.evaluation import Figure, newcombe_paired, score, suspect_labels, two_classes, wilson
from conviction.evaluation.figures import figures

SIZES = (200, 1_000)
SHARES = (0.05, 0.2, 0.5, 0.8, 0.95)
DRAWS = 1_000


def measure_time() -> None:
    """Predicts 10,000 test images, evaluates them and writes the page."""
    import conviction
    from conviction.evaluation import assess, predict_parts
    from conviction.flow.again import prepare_again
    from conviction.flow.evaluation import evaluation_step, write_report
    from conviction.reporting.terminal import Silent

    with tempfile.TemporaryDirectory() as place:
        run = conviction.fit("fashion_mnist", out=f"{place}/run", show=Silent())
        ready = prepare_again(run, run.config, None)
        model = run.model
        began = time.perf_counter()
        probabilities, _ = predict_parts(model, ready.images, ready.split, lambda: 1)
        predicted = time.perf_counter()
        evaluation = assess(
            probabilities, ready.images, ready.split, run.epoch_rows, recipe=ready.recipe, openings=1
        )
        assessed = time.perf_counter()
        run_steps = [*ready.steps, evaluation_step(evaluation, ready, run)]
        write_report(run.path, ready, run.epoch_rows, run_steps=run_steps, evaluation=evaluation)
        done = time.perf_counter()
        size = (run.path / "report.html").stat().st_size / 1e6
    print(
        f"10,000 test images (and 59,972 others) in {done - began:.1f} s: predictions {predicted - began:.1f} s, "
        f"figures {assessed - predicted:.1f} s, page {done - assessed:.1f} s; {size:.2f} MB"
    )


def measure_coverage() -> None:
    """The share of draws whose interval contains the truth, in percent."""
    print("Wilson's interval of a proportion, exactly (from the binomial distribution):\n")
    print("| images | " + " | ".join(f"p = {p}" for p in SHARES) + " | mean over 91 p from 0.05 to 0.95 |")
    print("|---|" + "---|" * (len(SHARES) + 1))
    for n in SIZES:
        bounds = np.array([wilson(k, n) for k in range(n + 1)])
        every = np.mean([_wilson_holds(p, bounds) for p in np.linspace(0.05, 0.95, 91)])
        print(
            f"| {n} | " + " | ".join(f"{_wilson_holds(p, bounds):.1f}" for p in SHARES) + f" | {every:.2f} |"
        )
    rng = np.random.default_rng(0)
    print(f"\nBy simulation, {DRAWS} draws each:\n")
    print("| images | figure | coverage in percent |\n|---|---|---|")
    for n in SIZES:
        for classes in (2, 10):
            pool = _pool(classes, 200_000, rng)
            truth = {name: figure.value for name, figure in _all_figures(*pool).items()}
            inside = dict.fromkeys(truth, 0)
            for _ in range(DRAWS):
                drawn = rng.integers(0, len(pool[1]), n)
                for name, figure in _all_figures(pool[0][drawn], pool[1][drawn]).items():
                    low, high = figure.ci95 or (-np.inf, np.inf)
                    inside[name] += low <= truth[name] <= high
            for name, count in inside.items():
                print(f"| {n} | {name}, {classes} classes | {100 * count / DRAWS:.1f} |", flush=True)
        for shares in ((0.8, 0.06, 0.04, 0.1), (0.9, 0.02, 0.05, 0.03), (0.4, 0.2, 0.2, 0.2)):
            bounds = np.array([newcombe_paired(*map(int, t)) for t in rng.multinomial(n, shares, DRAWS)])
            true = shares[1] - shares[2]
            held = 100 * np.mean((bounds[:, 0] <= true) & (true <= bounds[:, 1]))
            print(f"| {n} | paired difference, shares {shares} | {held:.1f} |", flush=True)


def _wilson_holds(p: float, bounds: np.ndarray) -> float:
    n = len(bounds) - 1
    inside = (bounds[:, 0] <= p) & (p <= bounds[:, 1])
    return 100 * float(binom.pmf(np.arange(n + 1), n, p)[inside].sum())


def _all_figures(p: np.ndarray, labels: np.ndarray) -> dict[str, Figure]:
    """All figures but the calibration error, which is too large with few images, whatever its interval."""
    classes = p.shape[1]
    found = {name: figure for name, figure in figures(p, labels).items() if name != "ece"}
    first = score(p, labels, [str(i) for i in range(classes)]).per_class[0]
    assert first.f1 is not None
    assert first.f1_ci95 is not None
    found["F1 of a class"] = Figure(first.f1, first.f1_ci95)
    binary = two_classes(p[:, 1], labels, (p[:, 1], labels), "1") if classes == 2 else None
    if binary:
        found |= {"ROC AUC": binary.roc_auc, "average precision": binary.average_precision}
    return found


def _pool(classes: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, classes, n)
    logits = rng.normal(0, 1, (n, classes)) + 2.0 * np.eye(classes)[labels]
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), labels


def measure_labels() -> None:
    """Precision and recall of the suspects among images with 5% planted label errors."""
    import conviction
    from conviction.data import load_source
    from conviction.reporting.terminal import Silent
    from conviction.runs.predictions import read_predictions

    images = load_source("fashion_mnist")
    rng = np.random.default_rng(0)
    wrong = rng.random(len(images)) < 0.05
    noisy = np.where(wrong, (images.labels + rng.integers(1, 10, len(images))) % 10, images.labels)
    parts = images.parts
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "noisy.npz"
        arrays = {f"x_{part}": images.pixels[parts == part, :, :, 0] for part in ("train", "test")}
        arrays |= {f"y_{part}": noisy[parts == part] for part in ("train", "test")}
        np.savez(source, **arrays)
        run = conviction.fit(source, {"data.on_leak": "keep"}, out=f"{place}/run", show=Silent())
        names = run.split
        truth = {f"train/{i}": w for i, w in enumerate(wrong[parts == "train"])}
        truth |= {f"test/{i}": w for i, w in enumerate(wrong[parts == "test"])}
        print(
            "| part | images | planted | found | precision | recall | precision of the surest as many as planted |"
        )
        print("|---|---|---|---|---|---|---|")
        for part, answers in read_predictions(run.path).items():
            if part == "train":
                continue
            planted = np.array([truth[name] for name in names.of(part)])
            rows = [s.row for s in suspect_labels(answers.probabilities, answers.labels)]
            total = int(planted.sum())
            print(
                f"| {part} | {len(planted):,} | {total} | {len(rows)} | {planted[rows].mean():.3f} | "
                f"{planted[rows].sum() / total:.3f} | {planted[rows[:total]].mean():.3f} |"
            )


def main() -> None:
    """Runs the parts that are named, or all."""
    os.environ.setdefault("CONVICTION_HOME", tempfile.mkdtemp())  # openings by a benchmark count for nobody
    parts = {"time": measure_time, "coverage": measure_coverage, "labels": measure_labels}
    for name in sys.argv[1:] or parts:
        print(f"\n{name}\n", flush=True)
        parts[name]()


if __name__ == "__main__":
    main()
