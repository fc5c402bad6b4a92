"""``make bench-gpu``: images a second against the card's peak, and time to an accuracy, with Keras on JAX.

    python benchmarks/gpu.py [--anyway] [--data fashion_mnist cifar10-jpeg75.zip] [--epochs N]

This is a loop of its own, which shows what a card could do; it is not ``conviction fit``, which is much slower there.
Needs JAX, Keras and this package, and no TensorFlow. The whole data set lives in the card's memory, and an epoch is
one call: a scan over its steps that gathers, flips and shifts there. The time to an accuracy is that at which
validation images first reach it, without compilation; each run opens the test set once, at its end. Without a GPU it
ends with exit code 2, unless --anyway. Copy what it prints, with the command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import numpy as np

# By data: (keys of the specification, accuracies to reach). The lab's network for the rate; the last of each set is as
# wide and long as a card makes bearable.
LAB = "recipe=lab training.epochs=4"
LONG = "recipe=best model.filters=[128,256,512] training.epochs=80"
RUNS = {
    "fashion": [(LAB, []), ("recipe=fast", [0.906]), ("recipe=best", [0.906, 0.939]), (LONG, [0.939, 0.95])],
    "cifar": [(LAB, []), ("recipe=fast", [0.673]), ("recipe=best", [0.673, 0.90]), (LONG, [0.90, 0.93])],
    "digits": [("recipe=fast", [0.9])],
}
SHIFT = 2


def peak_flops(size: int) -> float:
    """FLOP/s of a bfloat16 product of two square matrices, the fastest of many."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((size, size), jnp.bfloat16)
    multiply = jax.jit(lambda a: a @ a)
    multiply(a).block_until_ready()
    took = []
    for _ in range(10):
        began = time.perf_counter()
        multiply(a).block_until_ready()
        took.append(time.perf_counter() - began)
    return 2 * size**3 / min(took)


def vary(x: Any, key: Any, hole: int) -> Any:
    """Mirrors half of the images (n, h, w, c), moves each by up to ``SHIFT`` pixels, reflected, and blanks a square."""
    import jax
    import jax.numpy as jnp

    flips, moves, holes = jax.random.split(key, 3)
    n, height, width, channels = x.shape
    x = jnp.where(jax.random.bernoulli(flips, 0.5, (n, 1, 1, 1)), x[:, :, ::-1], x)
    padded = jnp.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
    starts = jax.random.randint(moves, (n, 2), 0, 2 * SHIFT + 1)

    def cut(image: Any, at: Any) -> Any:
        return jax.lax.dynamic_slice(image, (at[0], at[1], 0), (height, width, channels))

    x = jax.vmap(cut)(padded, starts)
    top, left = jax.random.randint(
        holes, (2, n, 1, 1, 1), 1 - hole, jnp.array([height, width]).reshape(2, 1, 1, 1, 1)
    )
    rows, columns = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
    inside = (rows >= top) & (rows < top + hole) & (columns >= left) & (columns < left + hole)  # (n, h, w, 1)
    return jnp.where(inside, 0, x)


def epoch_in_one_call(model: Any, x: Any, y: Any, *, augmented: bool, hole: int) -> Any:
    """A jitted function from (state, order (steps, batch) int32, key) to the state after an epoch and its mean loss."""
    import jax
    import jax.numpy as jnp

    def loss_of(trainable: Any, rest: Any, images: Any, targets: Any) -> tuple[Any, Any]:
        out, rest = model.stateless_call(trainable, rest, images, training=True)
        return jnp.mean(model.loss(targets, out)), rest

    def step(state: Any, chosen: Any) -> tuple[Any, Any]:
        (trainable, rest, slots), (index, key) = state, chosen
        images = vary(x[index], key, hole) if augmented else x[index]
        (loss, rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, rest, images, y[index])
        trainable, slots = model.optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, rest, slots), loss

    def epoch(state: Any, order: Any, key: Any) -> tuple[Any, Any]:
        state, losses = jax.lax.scan(step, state, (order, jax.random.split(key, len(order))))
        return state, losses.mean()

    return jax.jit(epoch, donate_argnums=0)


def accuracy(model: Any, state: Any, x: Any, labels: np.ndarray) -> float:
    """The share of images that are classified correctly."""
    import jax

    if not hasattr(model, "jitted_call"):
        model.jitted_call = jax.jit(lambda t, r, x: model.stateless_call(t, r, x, training=False)[0])
    parts = [model.jitted_call(state[0], state[1], x[i : i + 1000]) for i in range(0, len(x), 1000)]
    return float((np.concatenate([np.asarray(p) for p in parts]).argmax(axis=1) == labels).mean())


def race(
    source: str, keys: list[str], targets: list[float], epochs: int | None, peak: float
) -> dict[str, Any]:
    """Trains once and says how fast, and when which accuracy was reached."""
    import jax
    import keras

    from conviction.config import ImageFacts, load_recipe
    from conviction.data import encode_labels, load_source, split_images
    from conviction.model import build, compile_model, walk

    images = load_source(source, load_recipe(keys).data)
    split = split_images(images, load_recipe(keys).data, 0)
    recipe = load_recipe(keys, None, ImageFacts.of(images.rule.shape, len(split.train)))
    spec, classes = recipe.training, len(images.class_names)
    batch = min(512, len(split.train))
    steps = len(split.train) // batch
    total = epochs or spec.epochs
    model = build(recipe.model, images.rule.shape, classes, 0, "bfloat16")
    compile_model(model, spec, classes, steps=total * steps)
    model.optimizer.build(model.trainable_variables)
    macs = sum(row.multiply_adds for row in walk(recipe.model, images.rule.shape, classes))
    model.loss = keras.losses.CategoricalCrossentropy(label_smoothing=spec.label_smoothing)
    x = {part: jax.device_put(images.pixels[split.of(part)]) for part in ("train", "validation", "test")}
    y = jax.device_put(encode_labels(images.labels[split.train], classes))
    hole = round(recipe.augmentation.cutout * images.rule.height)
    run = epoch_in_one_call(model, x["train"], y, augmented=recipe.augmentation.flip != "none", hole=hole)
    state = tuple(
        [v.value for v in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    )
    rng, took, reached = np.random.default_rng(0), [], {}
    for epoch in range(total):
        order = rng.permutation(len(split.train))[: steps * batch].reshape(steps, batch).astype(np.int32)
        began = time.perf_counter()
        state, loss = run(state, order, jax.random.key(epoch))
        loss.block_until_ready()
        took.append(time.perf_counter() - began)
        found = accuracy(model, state, x["validation"], images.labels[split.validation])
        for target in targets:
            if found >= target:
                reached.setdefault(str(target), round(sum(took) - max(took) + min(took), 2))
    rate = steps * batch / min(took)
    return {
        "source": Path(source).name,
        "keys": keys,
        "epochs": total,
        "images_per_second": round(rate),
        "flops": 6 * macs * rate,
        "share_of_peak": 6 * macs * rate / peak,
        "first_epoch_with_compilation_seconds": round(took[0], 2),
        "seconds_to_validation_accuracy": reached,
        "validation_accuracy": found,
        "test_accuracy": accuracy(model, state, x["test"], images.labels[split.test]),
    }


def main() -> None:
    """Measures each run, and prints a line of JSON for it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anyway", action="store_true", help="run on a CPU as well, to try it out")
    parser.add_argument("--data", nargs="+", default=["fashion_mnist", "cifar10-jpeg75.zip"])
    parser.add_argument("--epochs", type=int, help="instead of those of the recipe")
    chosen = parser.parse_args()
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu" and not chosen.anyway:
        print("bench-gpu: JAX sees no GPU here (pip install 'jax[cuda12]').", file=sys.stderr)
        sys.exit(2)
    peak = peak_flops(1024 if device.platform == "cpu" else 8192)
    print(f"{device.device_kind}: {peak / 1e12:.2f} TFLOP/s in a bfloat16 matrix product", file=sys.stderr)
    place = os.environ.get("CONVICTION_DATA_DIR", "")
    for name in chosen.data:
        source = str(Path(place) / name) if name.endswith(".zip") else name
        for keys, targets in next(runs for start, runs in RUNS.items() if name.startswith(start)):
            print(json.dumps(race(source, keys.split(), targets, chosen.epochs, peak)), flush=True)


if __name__ == "__main__":
    main()
