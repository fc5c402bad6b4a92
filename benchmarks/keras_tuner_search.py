"""KerasTuner on the space of ``tune.py``, as its documentation shows it.

    python keras_tuner_search.py hyperband|random FOLDER OUT SEED

Appends a line to OUT for each trial: when it ended, its validation accuracy, its keys. Runs until it is killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np


def network(keys: dict[str, Any]) -> keras.Sequential:
    """The compiled network of these keys; whatever they leave out is as in the lab."""
    from conviction.config import load_recipe
    from conviction.model import build

    spec = load_recipe({"recipe": "lab", **keys})
    model = build(spec.model, (28, 28, 1), 10, spec.training.seed)
    model.compile(keras.optimizers.Adam(spec.training.rate), "categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Searches."""
    import keras_tuner
    from tune import EPOCHS, SPACE

    kind, folder, out, seed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    with np.load(folder / "seen.npz") as seen:
        x, y = seen["x_train"], np.eye(10, dtype="float32")[seen["y_train"]]

    def keys_of(hp: Any) -> dict[str, Any]:
        keys = {}
        for key, about in SPACE.items():
            if "choices" in about:
                keys[key] = json.loads(hp.Choice(key, [json.dumps(c) for c in about["choices"]]))
            else:
                sampling = "log" if about.get("log") else "linear"
                keys[key] = hp.Float(key, about["low"], about["high"], sampling=sampling)
        return keys

    class Lab(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            return network(keys_of(hp))

        def fit(self, hp: Any, model: Any, *arguments: Any, **options: Any) -> Any:
            return model.fit(*arguments, batch_size=keys_of(hp)["training.batch_size"], **options)

    common = {
        "objective": "val_accuracy",
        "seed": seed,
        "directory": str(out) + "-project",
        "max_consecutive_failed_trials": 1000,
    }
    if kind == "hyperband":
        tuner = keras_tuner.Hyperband(Lab(), max_epochs=EPOCHS, hyperband_iterations=1000, **common)
    else:
        tuner = keras_tuner.RandomSearch(Lab(), max_trials=10_000, **common)
    ended = tuner.on_trial_end

    def tell(trial: Any) -> None:
        ended(trial)
        if trial.score is not None:
            line = {"at": time.time(), "accuracy": trial.score, "keys": keys_of(trial.hyperparameters)}
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")

    tuner.on_trial_end = tell
    options = {"epochs": EPOCHS} if kind == "random" else {}
    tuner.search(x[:8000], y[:8000], validation_data=(x[8000:], y[8000:]), verbose=0, **options)


if __name__ == "__main__":
    main()
