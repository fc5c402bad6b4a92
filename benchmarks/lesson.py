"""``make bench-lesson``: what the lesson predicts, measured; the texts quote what this records.

    CONVICTION_DATA_DIR=... python benchmarks/lesson.py [--seeds 5] [--only long short] [--record]

Each study is one call of ``conviction.explore``: a base, arms that change one thing, the same seeds and splits for
all. ``plain`` is Keras alone, for what conviction does not let anybody change: the scaling of the pixels, and the
initial weights. Whatever is finished stays in the folder and is not run again. The record,
``src/conviction/lesson/findings.json``, holds every difference of every arm; ``--record`` writes it from what is
finished, and trains nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).parent.parent / "src" / "conviction" / "lesson" / "findings.json"
FEWEST = 3  # fewer seeds than this are not recorded
# Runs on unscaled pixels end differently from seed to seed, so more seeds are needed.
PLAIN_SEEDS = 20
Rows = Sequence[Mapping[str, float]]
Trials = dict[int, Rows]


@dataclass(frozen=True)
class Study:
    """One call of ``explore``.

    Attributes:
        source: As for ``explore``; ``cifar10`` is the archive of the project's own data folder.
        data: What the record calls it.
        epochs: Each has ``images`` training images.
        arms: By the id that texts use, the label that ``explore`` gives.
        questions: Questions of the lab, as for ``--question``.
        keys: They override those of ``recipe=lab``.
    """

    source: str
    data: str
    epochs: int
    images: int
    arms: Mapping[str, str]
    questions: tuple[str, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vary(self) -> list[str]:
        """The arms that do not belong to a question."""
        return [label for label in self.arms.values() if "=" in label and not label.startswith("recipe")]

    @property
    def setting(self) -> str:
        """In words."""
        changed = "".join(f", {key}={value}" for key, value in self.keys.items())
        return f"recipe=lab{changed}, {self.epochs} epochs of {self.images:,} training images"

    def experiment(self, label: str) -> dict[str, Any]:
        """How an arm is measured, for the record."""
        from conviction.experiments.questions import QUESTIONS

        question = next((q for q in self.questions if label in [arm.label for arm in QUESTIONS[q]]), "")
        return {
            "keys": dict(self.keys),
            "epochs": self.epochs,
            "images": self.images,
            "question": question,
            "arm": label,
        }


LINEAR = (
    "model.layers=[{type: Conv2D, filters: 32}, {type: MaxPooling2D}, {type: Conv2D, filters: 64}, "
    "{type: MaxPooling2D}, {type: Flatten}, {type: Dense, units: 128}]"
)
FASHION = ("fashion_mnist", "Fashion-MNIST")
STUDIES: dict[str, Study] = {
    "long": Study(
        *FASHION,
        epochs=20,
        images=4000,
        questions=("filters", "kernel", "pooling", "depth", "dense", "dropout", "batch-norm"),
        arms={
            "half_filters": "half the filters (16, 32)",
            "twice_filters": "twice the filters (64, 128)",
            "kernel_5": "5x5 kernels",
            "kernel_2": "2x2 kernels",
            "pool_3": "3x3 pooling",
            "average_pooling": "average pooling",
            "one_block": "one block (32)",
            "three_blocks": "three blocks (32, 64, 128)",
            "two_convolutions": "two convolutions a block",
            "no_dense": "no dense layer",
            "two_dense": "two dense layers (128, 128)",
            "dense_512": "512 units",
            "dropout_dense": "dropout 0.5 after the dense layer",
            "dropout_pooling": "dropout 0.25 after pooling",
            "dropout_both": "dropout at both places",
            "norm_before": "batch norm. before the activation",
            "norm_after": "batch norm. after the activation",
            "dense_64": "model.dense=[64]",
            "dense_256": "model.dense=[256]",
            "global_average": "model.head=global_average",
            "linear": LINEAR,
        },
    ),
    "steps": Study(
        *FASHION,
        epochs=20,
        images=4000,
        questions=("learning-rate", "batch-size", "optimizer", "augmentation"),
        arms={
            "rate_tenth": "rate 0.0001",
            "rate_third": "training.learning_rate=0.0003",
            "rate_3": "rate 0.003",
            "rate_10": "rate 0.01",
            "rate_100": "training.learning_rate=0.1",
            "batch_16": "batches of 16",
            "batch_32": "training.batch_size=32",
            "batch_128": "training.batch_size=128",
            "batch_256": "batches of 256",
            "batch_256_twice_rate": "batches of 256 at twice the rate",
            "sgd_0.05": "sgd at 0.05",
            "sgd_0.001": "sgd at 0.001",
            "rmsprop": "rmsprop at 0.001",
            "adamw": "adamw at 0.001",
            "mirrored": "mirrored",
            "shifted": "shifted by 10%",
            "cutout": "a square hidden",
            "one_cycle": "training.schedule=one_cycle",
        },
    ),
    "short": Study(
        *FASHION,
        epochs=5,
        images=3000,
        questions=("depth", "kernel", "batch-norm", "dropout", "augmentation", "pooling"),
        arms={
            "one_block": "one block (32)",
            "three_blocks": "three blocks (32, 64, 128)",
            "two_convolutions": "two convolutions a block",
            "kernel_5": "5x5 kernels",
            "pool_3": "3x3 pooling",
            "norm_before": "batch norm. before the activation",
            "dropout_dense": "dropout 0.5 after the dense layer",
            "dropout_both": "dropout at both places",
            "mirrored": "mirrored",
            "shifted": "shifted by 10%",
        },
    ),
    "norm": Study(
        *FASHION,
        epochs=20,
        images=4000,
        keys={"model.batch_norm": True},
        arms={
            "norm_rate_3": "training.learning_rate=0.003",
            "norm_rate_10": "training.learning_rate=0.01",
            "norm_dropout": "model.dropout=0.25",
        },
    ),
    "one": Study(
        *FASHION,
        epochs=20,
        images=4000,
        keys={"model.filters": [32]},
        arms={"kernel_5": "model.kernel_size=5"},
    ),
    "tiny": Study(
        *FASHION,
        epochs=5,
        images=3000,
        keys={"training.batch_size": 4},
        arms={"norm": "model.batch_norm=true"},
    ),
    "longer": Study(
        *FASHION,
        epochs=60,
        images=4000,
        questions=("augmentation", "dropout"),
        arms={"mirrored": "mirrored", "shifted": "shifted by 10%", "dropout_both": "dropout at both places"},
    ),
    "cifar": Study(
        "cifar10",
        "CIFAR-10 (JPEG)",
        epochs=20,
        images=4000,
        questions=("depth",),
        arms={
            "one_block": "one block (32)",
            "three_blocks": "three blocks (32, 64, 128)",
            "kernel_5": "model.kernel_size=5",
            "mirrored": "augmentation.flip=horizontal",
        },
    ),
}
# Arms of different studies, compared seed by seed: (study, arm), then what it is compared with.
ACROSS = {
    "norm_at_3": (("norm", "norm_rate_3"), ("steps", "rate_3")),
    "norm_at_10": (("norm", "norm_rate_10"), ("steps", "rate_10")),
    "sgd_rate": (("steps", "sgd_0.05"), ("steps", "sgd_0.001")),
    "norm_places": (("long", "norm_after"), ("long", "norm_before")),
}
# The same of them as one base and one key; the places of batch normalisation are no key.
ACROSS_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "norm_at_3": ({"training.learning_rate": 0.003}, "model.batch_norm=true"),
    "norm_at_10": ({"training.learning_rate": 0.01}, "model.batch_norm=true"),
    "sgd_rate": (
        {"training.optimizer": "sgd", "training.learning_rate": 0.001},
        "training.learning_rate=0.05",
    ),
}
PLAIN_ARMS: dict[str, dict[str, Any]] = {
    "scaled_adam": {},
    "unscaled_adam": {"scale": 1.0},
    "scaled_sgd": {"optimizer": "SGD", "rate": 0.01},
    "unscaled_sgd": {"optimizer": "SGD", "rate": 0.01, "scale": 1.0},
    "he": {"initializer": "he_uniform"},
}
PLAIN = {
    "unscaled_adam": ("unscaled_adam", "scaled_adam"),
    "unscaled_sgd": ("unscaled_sgd", "scaled_sgd"),
    "he": ("he", "scaled_adam"),
}
PLAIN_SETTING = "Keras alone, the lab's network, 5 epochs of 4,000 training images"


def run_study(name: str, study: Study, seeds: int, folder: Path, jobs: int) -> None:
    """Runs what is not finished yet."""
    import conviction

    source = study.source
    if source == "cifar10":
        source = str(Path(os.environ["CONVICTION_DATA_DIR"]) / "cifar10-jpeg75.zip")
    conviction.explore(
        source,
        {"training.epochs": study.epochs, "data.validation": 0.05, **study.keys},
        question=study.questions,
        vary=study.vary,
        seeds=seeds,
        budget=study.epochs * study.images,
        jobs=jobs,
        out=folder / name,
    )


def run_plain(seeds: int, file: Path) -> None:
    """Keras alone: pixels as they are against pixels divided by 255, and He's first weights against Glorot's."""
    done = [json.loads(line)["key"] for line in file.read_text().splitlines()] if file.exists() else []
    for seed in range(seeds):
        for arm, change in PLAIN_ARMS.items():
            if f"{arm}/{seed}" not in done:
                line = json.dumps({"key": f"{arm}/{seed}", "history": _plain_history(seed, **change)})
                with file.open("a") as opened:
                    opened.write(line + "\n")


def _plain_history(
    seed: int,
    scale: float = 1 / 255,
    optimizer: str = "Adam",
    rate: float = 0.001,
    initializer: str = "glorot_uniform",
) -> list[dict[str, float]]:
    from conviction.backend import import_keras
    from conviction.config import DataSpec
    from conviction.data import load_source

    keras = import_keras()
    keras.utils.set_random_seed(seed)
    images = load_source("fashion_mnist", DataSpec(), os.environ["CONVICTION_DATA_DIR"])
    drawn = np.random.default_rng(seed).permutation(60_000)[:7000]
    x, t = images.pixels[drawn] * np.float32(scale), images.labels[drawn]
    layers = keras.layers
    first = {"kernel_initializer": initializer, "activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, **first),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, **first),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, **first),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        getattr(keras.optimizers, optimizer)(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(
        x[:4000], t[:4000], validation_data=(x[4000:], t[4000:]), epochs=5, batch_size=64, verbose=0
    ).history
    return [
        dict(zip(history, map(float, values), strict=True)) for values in zip(*history.values(), strict=True)
    ]


def trials_of(study: Study, folder: Path) -> dict[str, Trials]:
    """The finished trials by arm (``base`` among them) and seed: the rows of their epochs."""
    from conviction.experiments.store import read_trials

    design = json.loads((folder / "design.json").read_text())
    keys = {label: key for _, label, key in design["arms"]}
    wanted = {"base": design["base"], **{arm: keys[label] for arm, label in study.arms.items()}}
    out: dict[str, Trials] = {arm: {} for arm in wanted}
    for name, trial in read_trials(folder).items():
        key, seed = name.split("/")
        for arm in (a for a, k in wanted.items() if k == key and trial["value"]):
            out[arm][int(seed)] = trial["value"]["history"]
    return out


def difference_of(first: Trials, second: Trials) -> dict[str, dict[str, float]]:
    """Every measure of both, and their paired difference; nothing of fewer than ``FEWEST`` pairs."""
    from conviction.experiments.measures import effects_of
    from conviction.training import EpochRow

    def rows_of(trials: Trials) -> dict[int, list[EpochRow]]:
        # Keras alone notes no rate.
        return {
            seed: [
                EpochRow(**{"learning_rate": math.nan, **row, "epoch": i}) for i, row in enumerate(rows, 1)
            ]
            for seed, rows in trials.items()
        }

    seeds, effects = effects_of(rows_of(first), rows_of(second), 1 / 3000)
    if seeds < FEWEST:
        return {}
    return {name: {k: round(v, 4) for k, v in asdict(effect).items()} for name, effect in effects.items()}


def record(folder: Path) -> None:
    """Writes the record from what is finished."""
    content: dict[str, Any] = {}
    found: dict[str, dict[str, Trials]] = {}
    for name, study in STUDIES.items():
        if (folder / name / "design.json").exists():
            found[name] = trials_of(study, folder / name)
            for arm, label in study.arms.items():
                question = "no activation" if label == LINEAR else label
                first, second = found[name][arm], found[name]["base"]
                how = study.experiment(label)
                content[f"{name}.{arm}"] = _entry(question, study, first, second, folder / name, how=how)
    for name, (one, other) in ACROSS.items():
        if one[0] in found and other[0] in found:
            question = f"{STUDIES[one[0]].arms[one[1]]} against {STUDIES[other[0]].arms[other[1]]}"
            first, second = found[one[0]][one[1]], found[other[0]][other[1]]
            study, how = STUDIES[one[0]], None
            if name in ACROSS_KEYS:
                keys, varied = ACROSS_KEYS[name]
                how = replace(study, keys=keys).experiment(varied)
            content[f"across.{name}"] = _entry(question, study, first, second, folder / one[0], how=how)
    file = folder / "plain.jsonl"
    if file.exists():
        trials: dict[str, Trials] = {arm: {} for arm in PLAIN_ARMS}
        for line in map(json.loads, file.read_text().splitlines()):
            arm, seed = line["key"].split("/")
            trials[arm][int(seed)] = line["history"]
        for name, (one_arm, other_arm) in PLAIN.items():
            question = f"{one_arm.replace('_', ' ')} against {other_arm.replace('_', ' ')}"
            content[f"plain.{name}"] = _entry(
                question, None, trials[one_arm], trials[other_arm], file, how=None
            )
    kept = {key: entry for key, entry in content.items() if entry["differences"]}
    RECORD.write_text(json.dumps({"findings": kept}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(kept)} findings in {RECORD}")


def _entry(
    question: str,
    study: Study | None,
    first: Trials,
    second: Trials,
    place: Path,
    *,
    how: Mapping[str, Any] | None,
) -> dict[str, Any]:
    finished = (place / "trials.jsonl" if place.is_dir() else place).stat().st_mtime
    return {
        "question": question,
        "data": study.data if study else "Fashion-MNIST",
        "setting": study.setting if study else PLAIN_SETTING,
        "seeds": len(set(first) & set(second)),
        "date": str(datetime.fromtimestamp(finished, UTC).date()),
        "versions": {name: version(name) for name in ("conviction", "keras", "tensorflow", "numpy")}
        | {"python": platform.python_version()},
        "differences": difference_of(first, second),
        "experiment": how,
    }


def main() -> None:
    """Runs, then records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=[*STUDIES, "plain"], default=[*STUDIES, "plain"])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("explorations/lesson"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in [] if options.record else options.only:
        if name == "plain":
            run_plain(PLAIN_SEEDS, options.out / "plain.jsonl")
        else:
            run_study(name, STUDIES[name], options.seeds, options.out, options.jobs)
    record(options.out)


if __name__ == "__main__":
    main()
