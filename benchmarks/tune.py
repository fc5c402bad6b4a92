"""`conviction tune` against KerasTuner's random search and Hyperband: the same space, images and wall-clock time.

    CONVICTION_DATA_DIR=... make bench-tune

Each searcher gets a process of its own and is killed when its time is over; starting up counts. Its best so far is
then trained again by one plain Keras program on two seeds and scored on images that no searcher has seen. They are
Fashion-MNIST training images: 8,000 to learn from, 2,000 to choose by, 20,000 held out. The official test images are
not touched.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import numpy as np

HERE = Path(__file__).parent
SEARCHERS = ("conviction", "hyperband", "random")
EPOCHS, SEEDS = 6, 2
SPACE = {
    "model.filters": {"choices": [[16, 32], [32, 64], [64, 128], [16, 64, 128]]},
    "model.kernel_size": {"choices": [3, 5]},
    "model.padding": {"choices": ["valid", "same"]},
    "model.batch_norm": {"choices": [False, True]},
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.dense": {"choices": [[], [64], [128], [256]]},
    "training.learning_rate": {"low": 0.0003, "high": 0.02, "log": True},
    "training.batch_size": {"choices": [32, 64, 128, 256]},
}


def prepare(folder: Path) -> None:
    """Writes the images once: an npz for the searchers, and what is held out."""
    from conviction.config import DataSpec
    from conviction.data import load_source

    images = load_source("fashion_mnist", DataSpec())
    train = np.flatnonzero(images.parts == "train")
    order = np.random.default_rng(0).permutation(train)
    seen, rest = order[:10_000], order[10_000:30_000]
    x, y = images.pixels, images.labels
    # `conviction` wants a test set; it is not used in a search with --no-test.
    np.savez(
        folder / "seen.npz", x_train=x[seen], y_train=y[seen], x_test=x[rest[:100]], y_test=y[rest[:100]]
    )
    np.savez(folder / "held.npz", x=x[rest], y=y[rest])
    (folder / "space.yaml").write_text(json.dumps(SPACE))


def search(name: str, folder: Path, out: Path, seconds: float, seed: int) -> None:
    """Lets a searcher work until its time is over, then ends it."""
    if name == "conviction":
        asked = ["seen.npz", f"training.epochs={EPOCHS}", "data.validation=0.2", "--space", "space.yaml"]
        asked += ["--trials", "10000", "--no-test", "--seed", str(seed), "--out", str(out)]
        command = [sys.executable, "-m", "conviction", "tune", *asked]
    else:
        command = [
            sys.executable,
            str(HERE / "keras_tuner_search.py"),
            name,
            str(folder),
            str(out),
            str(seed),
        ]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
        raise SystemExit(f"{name} ended before its time, with exit code {process.returncode}")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()


def found(name: str, out: Path, began: float, within: float) -> tuple[dict, float, int]:
    """(the best keys so far, the accuracy that it claims, finished trials) after a number of seconds."""
    if name == "conviction":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.load_study(study_name="tune", storage=f"sqlite:///{out / 'study.db'}")
        done = [
            (t.values[0], t.user_attrs["keys"])
            for t in study.get_trials()
            if t.state.name == "COMPLETE" and t.datetime_complete.timestamp() - began <= within
        ]
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        done = [(r["accuracy"], r["keys"]) for r in rows if r["at"] - began <= within]
    if not done:
        return {}, 0.0, 0
    accuracy, keys = max(done, key=lambda d: d[0])
    return keys, accuracy, len(done)


def score(keys: dict, folder: Path, seed: int) -> float:
    """The accuracy on held-out images of a network of these keys, trained by plain Keras."""
    import keras
    from keras_tuner_search import network

    keras.utils.set_random_seed(seed)
    with np.load(folder / "seen.npz") as seen, np.load(folder / "held.npz") as held:
        x, y, x_held, y_held = seen["x_train"][:8000], seen["y_train"][:8000], held["x"], held["y"]
    model = network(keys)
    model.fit(
        x,
        np.eye(10, dtype="float32")[y],
        epochs=EPOCHS,
        verbose=0,
        batch_size=keys.get("training.batch_size", 64),
    )
    right = model.predict(x_held, batch_size=500, verbose=0).argmax(axis=1) == y_held
    keras.backend.clear_session()
    return float(right.mean())


def main() -> None:
    """Searches in turns, then scores what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("searches/bench"))
    given = parser.parse_args()
    folder = given.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder)
    results: dict[tuple[str, float], list[tuple[float, float, int]]] = {}
    for seed in range(given.repeats):
        turn = SEARCHERS[seed % 3 :] + SEARCHERS[: seed % 3]
        for name in turn:
            out = folder / f"{name}-{seed}"
            began = time.time()
            search(name, folder, out, given.seconds, seed)
            # What `conviction` has at half the time shows whether it needs only half the time.
            for share in (0.5, 1.0) if name == "conviction" else (1.0,):
                keys, claimed, trials = found(name, out, began, share * given.seconds)
                held = mean(score(keys, folder, s) for s in range(SEEDS)) if trials else 0.0
                results.setdefault((name, share), []).append((held, claimed, trials))
                print(
                    f"{name} {seed} at {share * given.seconds:.0f} s: held out {held:.4f}", keys, flush=True
                )
    table(results, given.seconds)


def table(results: dict[tuple[str, float], list[tuple[float, float, int]]], seconds: float) -> None:
    """Prints the table for `docs/measurements.md`."""
    print("\n| searcher | seconds | held-out accuracy, mean (sd) | claimed | trials |\n|---|---|---|---|---|")
    for (name, share), rows in results.items():
        held, claimed, trials = ([r[i] for r in rows] for i in range(3))
        spread = f"{stdev(held):.4f}" if len(held) > 1 else "one"
        figures = f"{mean(held):.4f} ({spread}) | {mean(claimed):.4f} | {mean(trials):.0f}"
        print(f"| {name} | {share * seconds:.0f} | {figures} |")


if __name__ == "__main__":
    main()
