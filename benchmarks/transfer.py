"""``make bench-transfer``: networks on a pretrained backbone, on photographs of refuse and on few of them.

    CONVICTION_DATA_DIR=... python benchmarks/transfer.py [accuracy|seconds|picture|arithmetic ...] [--seeds 3]

``accuracy``: TrashNet and subsets of 50, 200 and 1,000 of its pictures, a run of each recipe for each seed, beside a
logistic regression of scikit-learn on the same features and splits. ``seconds``: from the files to the finished report,
with empty caches and again with other keys, beside a tutorial's program that has the same frozen backbone inside its
model. ``picture``: one picture through ONNX on one core. ``arithmetic``: how long a picture takes in what computes the
network, and how far the answers are from those of float32 in Keras; training pictures, so its accuracies compare and no
more. Each test set is opened once by each run. Copy what it prints,
with the command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import conviction
from conviction.model import build, features_of, part
from conviction.model.probabilities import predict_probabilities
from conviction.reporting.terminal import Silent

# A tutorial's program: the images of a folder, the backbone inside the model, a dense head, ten epochs.
TUTORIAL = """
import sys
import keras
from conviction.config.model import Backbone
from conviction.model.backbones import build_backbone

options = {"image_size": (224, 224), "batch_size": 32, "seed": 0, "validation_split": 0.2}
train = keras.utils.image_dataset_from_directory(sys.argv[1], subset="training", **options)
test = keras.utils.image_dataset_from_directory(sys.argv[1], subset="validation", shuffle=False, **options)
backbone = build_backbone(Backbone(name="efficientnet_lite0"), (224, 224, 3))
backbone.trainable = False
model = keras.Sequential([
    keras.Input((224, 224, 3)),
    keras.layers.Rescaling(1 / 128, -127 / 128),
    backbone,
    keras.layers.GlobalAveragePooling2D(),
    keras.layers.Dense(len(train.class_names), activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(train, validation_data=test, epochs=10, verbose=0)
print(model.evaluate(test, verbose=0)[1])
"""


def photographs() -> Path:
    """The archive of TrashNet."""
    return Path(os.environ["CONVICTION_DATA_DIR"]) / "trashnet-256.zip"


def subset(place: Path, number: int | None) -> Path:
    """A folder with this many of the photographs, in proportion from each class; all of them for None."""
    with zipfile.ZipFile(photographs()) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))
        chance = np.random.default_rng(number or 0)
        for label in sorted({Path(n).parent.name for n in names}):
            members = [n for n in names if Path(n).parent.name == label]
            share = len(members) if number is None else round(number * len(members) / len(names))
            (place / label).mkdir(parents=True)
            for name in chance.choice(members, share, replace=False):
                (place / label / Path(name).name).write_bytes(archive.read(name))
    return place


def fitted(source: Path, out: Path, recipe: str, **keys: object) -> conviction.Run:
    """A run of a recipe."""
    overrides = {key.replace("__", "."): value for key, value in keys.items()}
    return conviction.fit(source, overrides, recipe=recipe, out=out, show=Silent())


def regression(run: conviction.Run, source: Path, learned: tuple[str, ...]) -> float:
    """The test accuracy of a logistic regression on the features and the split of a run, from these of its parts."""
    images = conviction.load_source(source, run.config.data)
    parted = part(run.model)
    assert parted is not None
    features = features_of(parted, images, np.arange(len(images)))
    rows = {
        p: images.rows_of(run.split.of(p).values(), run.split.of(p)) for p in ("train", "validation", "test")
    }
    chosen = [row for name in learned for row in rows[name]]
    model = LogisticRegression(C=0.3, max_iter=5000).fit(features[chosen], images.labels[chosen])
    return float(model.score(features[rows["test"]], images.labels[rows["test"]]))


# What a logistic regression may learn from: the recipe learns from the training images alone.
REGRESSIONS = {
    "logistic regression on its features": ("train",),
    "the same, on validation images as well": ("train", "validation"),
}


def accuracy(seeds: int) -> None:
    """Test accuracy of each recipe on each number of photographs."""
    recipes = {
        "transfer": {"recipe": "transfer"},
        "transfer, all of it": {"recipe": "transfer", "model__trainable": "all"},
        "fast": {"recipe": "fast"},
    }
    print("| photographs | recipe | test accuracy, mean (sd) | each seed | seconds |\n|---|---|---|---|---|")
    for number in (50, 200, 1_000, None):
        with tempfile.TemporaryDirectory() as place:
            source = subset(Path(place) / "set", number)
            for title, keys in recipes.items():
                scores, took = [], []
                theirs: dict[str, list[float]] = {}
                for seed in range(seeds):
                    began = time.perf_counter()
                    run = fitted(source, Path(place) / f"{title}-{seed}", **keys, training__seed=seed)
                    took.append(time.perf_counter() - began)
                    assert run.evaluation.test is not None
                    scores.append(run.evaluation.test.accuracy)
                    for name, parts in REGRESSIONS.items() if title == "transfer" else ():
                        theirs.setdefault(name, []).append(regression(run, source, parts))
                show(number, title, scores, took)
                for name, each in theirs.items():
                    show(number, name, each, [])


def show(number: int | None, title: str, scores: list[float], took: list[float]) -> None:
    """Prints a row."""
    each = ", ".join(f"{s:.3f}" for s in scores)
    seconds = f"{np.median(took):.0f}" if took else ""
    spread = f"{np.std(scores, ddof=1):.3f}" if len(scores) > 1 else "one seed"
    print(
        f"| {number or 'all 2,527'} | {title} | {np.mean(scores):.3f} ({spread}) | {each} | {seconds} |",
        flush=True,
    )


def seconds(seeds: int) -> None:
    """From files to the report, the first time and again, beside a tutorial's program."""
    print("| photographs | what | seconds | test accuracy |\n|---|---|---|---|")
    for number in (1_000, None):
        with tempfile.TemporaryDirectory() as place:
            source = subset(Path(place) / "set", number)
            env = {**os.environ, "CONVICTION_CACHE": f"{place}/cache", "CONVICTION_HOME": f"{place}/home"}
            for title, keys in (
                ("the first run", ()),
                ("with other keys", ("training.learning_rate=0.001",)),
            ):
                out = Path(place) / title.replace(" ", "-")
                command = [
                    "-m",
                    "conviction",
                    "fit",
                    str(source),
                    "recipe=transfer",
                    *keys,
                    "--out",
                    str(out),
                ]
                took = clocked([sys.executable, *command], env)[0]
                test = conviction.load_run(out).evaluation.test
                assert test is not None
                print(f"| {number or 'all 2,527'} | {title} | {took:.0f} | {test.accuracy:.3f} |", flush=True)
            took, printed = clocked([sys.executable, "-c", TUTORIAL, str(source)], env)
            score = float(printed.split()[-1])
            print(
                f"| {number or 'all 2,527'} | a tutorial's program | {took:.0f} | {score:.3f} |", flush=True
            )


def clocked(command: list[str], env: dict[str, str]) -> tuple[float, str]:
    """How long a command takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, done.stdout


def picture(seeds: int) -> None:
    """One picture through ONNX, on one core."""
    with tempfile.TemporaryDirectory() as place:
        run = fitted(subset(Path(place) / "set", 200), Path(place) / "run", "transfer", training__epochs=2)
        conviction.export(run.path, ["onnx"])
        program = (
            "import sys, time, numpy as np, conviction\n"
            "model = conviction.load(sys.argv[1])\n"
            "one = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)\n"
            "took = []\n"
            "for _ in range(60):\n"
            "    began = time.perf_counter()\n"
            "    model.predict_pixels(one)\n"
            "    took.append(1000 * (time.perf_counter() - began))\n"
            "print(f'{np.median(took[10:]):.1f} ms, median of 50 (5th to 95th percentile '\n"
            "      f'{np.percentile(took[10:], 5):.1f} to {np.percentile(took[10:], 95):.1f})')\n"
        )
        pinned = ["taskset", "-c", "0"] if shutil.which("taskset") else []
        command = [*pinned, sys.executable, "-c", program, str(run.path / "exports" / "model.onnx")]
        print(
            f"one picture of 224x224 through ONNX on one core: {clocked(command, dict(os.environ))[1].strip()}"
        )


def arithmetic(seeds: int) -> None:
    """The same network in several kinds of arithmetic, over 640 pictures."""
    print(
        "| computed by | ms a picture | same answers | largest difference | accuracy |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as place:
        source = subset(Path(place) / "set", 1_000)
        run = fitted(source, Path(place) / "run", "transfer")
        pixels = np.ascontiguousarray(conviction.load_source(source, run.config.data).pixels[:640])
        labels = conviction.load_source(source, run.config.data).labels[:640]
        half = build(run.config.model, pixels.shape[1:], len(run.data.class_names), 0, "bfloat16")
        half.set_weights(run.model.get_weights())
        ways = {
            "Keras on TensorFlow, float32": lambda x: predict_probabilities(run.model, x),
            "Keras on TensorFlow, bfloat16": lambda x: predict_probabilities(half, x),
        }
        for small in (None, "int8"):
            conviction.export(run.path, ["onnx", "litert"], quantize=small, most_lost=0.5)
        for name in ("model.onnx", "model-int8.onnx", "model.tflite", "model-int8.tflite"):
            artefact = conviction.load(run.path / "exports" / name)
            ways[name] = lambda x, opened=artefact: opened.predict_pixels(x).probabilities
        first = predict_probabilities(run.model, pixels)
        for title, answer in ways.items():
            answer(pixels[:64]), answer(pixels)  # compiled for both sizes of batch
            began = time.perf_counter()
            scores = answer(pixels)
            took = 1000 * (time.perf_counter() - began) / len(pixels)
            same = float(np.mean(scores.argmax(1) == first.argmax(1)))
            right = float(np.mean(scores.argmax(1) == labels))
            print(
                f"| {title} | {took:.1f} | {same:.1%} | {np.abs(scores - first).max():.1e} | {right:.3f} |",
                flush=True,
            )


PARTS = {"accuracy": accuracy, "seconds": seconds, "picture": picture, "arithmetic": arithmetic}


def main() -> None:
    """Runs the parts that were asked for, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("CONVICTION_HOME", tempfile.mkdtemp())
    for name in options.parts or PARTS:
        PARTS[name](options.seeds)


if __name__ == "__main__":
    main()
