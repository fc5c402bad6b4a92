"""What an image and a trial cost the command that reads or proposes them: the figures behind docs/scale.md.

    CONVICTION_DATA_DIR=... python benchmarks/limits.py

Memory is RssAnon of Linux's /proc: pages that are mapped from the cache are not in it. Proposals come from Optuna's
TPE over the default space of ``conviction tune``, in SQLite, each trial with six epochs reported and a made-up result.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
import warnings
from pathlib import Path
from statistics import mean

import optuna

from conviction.data import load_source
from conviction.experiments.space import default_space, suggest

TRIALS = 1_000
MARKS = (100, 500, 1_000)
EPOCH = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, "learning_rate": 0.001}


def anonymous_bytes() -> int:
    """What this process holds in memory, without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def images() -> None:
    """Memory beside the mapped pixels."""
    before = anonymous_bytes()
    found = load_source(Path(os.environ["CONVICTION_DATA_DIR"]) / "cifar10-jpeg75.zip")
    each = (anonymous_bytes() - before) / len(found)
    print(f"memory: {each:,.0f} bytes an image of {len(found):,}")


def proposals() -> None:
    """The time of a proposal, and the size of the database, as trials add up."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, chance, took = default_space(backbone=False), random.Random(0), []
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "study.db")
        sampler = optuna.samplers.TPESampler(seed=0, multivariate=True, group=True)
        study = optuna.create_study(storage=f"sqlite:///{file}", direction="maximize", sampler=sampler)
        for done in range(1, TRIALS + 1):
            began = time.perf_counter()
            trial = study.ask()
            suggest(space, trial)
            took.append(time.perf_counter() - began)
            for epoch in range(1, 7):
                trial.report(chance.random(), epoch)
            trial.set_user_attr("value", {"history": [EPOCH] * 12})
            study.tell(trial, chance.random())
            if done in MARKS:
                size = file.stat().st_size / done
                print(
                    f"after {done:,} trials: {mean(took[-20:]) * 1000:.0f} ms a proposal, {size:,.0f} bytes a trial"
                )


if __name__ == "__main__":
    images()
    proposals()
