"""Runs that nobody made: random networks that fit, with random curves and figures."""

from __future__ import annotations

import numpy as np

from conviction.config import ModelSpec, Shorthand, expand, load_recipe
from conviction.errors import RequestError
from conviction.evaluation import judge_run, wilson
from conviction.lesson.facts import Facts, PartScores, Result
from conviction.model import walk
from conviction.training import EpochRow


def network(rng: np.random.Generator, shape: tuple[int, int, int], classes: int) -> ModelSpec:
    while True:
        spec = expand(
            Shorthand(
                filters=tuple(int(f) for f in rng.integers(1, 40, rng.integers(1, 4))),
                convs=int(rng.integers(1, 3)),
                kernel_size=(int(rng.integers(1, 6)), int(rng.integers(1, 6))),
                padding=str(rng.choice(["valid", "same"])),
                pooling=str(rng.choice(["max", "average"])),
                pool_size=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
                pool_first=bool(rng.integers(2)),
                batch_norm=bool(rng.integers(2)),
                dropout=float(rng.choice([0.0, 0.3])),
                head=str(rng.choice(["flatten", "global_average"])),
                dense=tuple(int(u) for u in rng.integers(1, 200, rng.integers(0, 3))),
            )
        )
        try:
            walk(spec, shape, classes)
        except RequestError:
            continue
        return spec


def part(rng: np.random.Generator, n: int, names: tuple[str, ...]) -> PartScores:
    right = int(rng.integers(0, n + 1))
    low, high = wilson(right, n)
    classes = tuple((name, n, float(rng.integers(0, 11)) / 10) for name in names)
    return PartScores(n, float(rng.uniform(0, 3)), right / n, low, high, int(rng.integers(1, 4)), classes)


def invented(seed: int) -> Facts:
    """A run that does not exist, the same for the same seed."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 80)), int(rng.integers(8, 80)), int(rng.choice([1, 3])))
    names = tuple(f"class_{i}*" for i in range(int(rng.integers(2, 14))))
    recipe = load_recipe(["recipe=lab", f"training.batch_size={rng.integers(1, 300)}"])
    recipe = recipe.model_copy(update={"model": network(rng, shape, len(names))})
    counts = {name: int(rng.integers(1, 70_000)) for name in ("train", "validation", "test")}
    falling = np.sort(rng.uniform(0, 2, int(rng.integers(1, 30))))[::-1]
    history = [
        EpochRow(i + 1, float(v), float(rng.uniform()), float(rng.uniform(0, 2)), float(rng.uniform()), 0.001)
        for i, v in enumerate(falling)
    ]
    parts = {"train": part(rng, counts["train"], names)}
    if rng.integers(4):
        parts["test"] = part(rng, counts["test"], names)
    accuracies = {name: (one.accuracy, one.n) for name, one in parts.items()}
    accuracies["validation"] = (history[-1].val_accuracy, counts["validation"])
    verdict = judge_run(history, accuracies, classes=len(names), recipe=recipe)
    return Facts(
        title=f"invented run {seed}",
        recipe=recipe,
        shape=shape,
        class_names=names,
        counts=counts,
        result=Result(history, verdict, parts),
    )
