"""The parts of a program that build, compile, train and test the network of a run, without this package."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent
from typing import Any

from conviction.config import Recipe, TrainingSpec
from conviction.model.build import layer_seed
from conviction.model.compile import RISE_FROM, warmup_steps
from conviction.model.shapes import walk
from conviction.programs.section import Section
from conviction.programs.varying_code import varying_code
from conviction.training.augment import active_augmentations
from conviction.training.train import VALIDATION_BATCH

Shape = tuple[int, int, int]
# Arguments that need not be written.
KERAS_DEFAULTS = {
    "strides": (1, 1),
    "padding": "valid",
    "activation": None,
    "use_bias": True,
    "momentum": 0.99,
}


def encoding_section(classes: int) -> Section:
    """Labels as the loss expects them."""
    if classes == 2:
        reason = "Two classes need one number: 0 for the first, 1 for the second."
        code = 'y = {part: labels[part].astype("float32")[:, np.newaxis] for part in labels}'
    else:
        reason = "A 1 at the image's class and 0 elsewhere: the probabilities that the softmax should give."
        code = 'y = {part: np.eye(len(CLASSES), dtype="float32")[labels[part]] for part in labels}'
    return Section("Encode", reason, code)


def model_section(recipe: Recipe, shape: Shape, classes: int) -> Section:
    """The network, layer by layer, each with the seed that it had in the run."""
    spec, seed = recipe.model, recipe.training.seed
    rows = walk(spec, shape, classes)
    bfloat16 = recipe.training.precision == "bfloat16"
    policy = ', dtype="mixed_bfloat16"' if bfloat16 else ""
    lines = [f'    layers.Rescaling(1.0 / 255.0, name="{rows[0].name}"{policy}),  # normalise']
    for index, (layer, row) in enumerate(zip(spec.layers, rows[1:-1], strict=True)):
        options = layer.model_dump(exclude={"type"})
        arguments = [
            f"{key}={_literal(value)}"
            for key, value in options.items()
            if key not in KERAS_DEFAULTS or value != KERAS_DEFAULTS[key]
        ]
        if layer.type in ("Conv2D", "Dense"):
            arguments.append(f"kernel_initializer=glorot({layer_seed(seed, index)})")
        if layer.type == "Dropout":
            arguments.append(f"seed={layer_seed(seed, index)}")
        arguments.append(f'name="{row.name}"')
        lines.append(f"    layers.{layer.type}({', '.join(arguments)}{policy}),")
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    lines.append(
        f'    layers.Dense({units}, activation="{activation}", '
        f'kernel_initializer=glorot({layer_seed(seed, len(spec.layers))}), dtype="float32", name="output"),'
    )
    code = "\n".join(
        [
            "layers, glorot = keras.layers, keras.initializers.GlorotUniform",
            "model = keras.Sequential([",
            f'    keras.Input({shape}, dtype="uint8"),',
            *lines,
            "])",
            "model.summary()",
        ]
    )
    reason = (
        "Raw pixels go in; dividing by 255 is the first layer. Each layer starts with weights drawn from its own "
        "seed."
    )
    return Section("Model", reason, code, "architecture")


def compile_section(recipe: Recipe, classes: int, steps: int) -> Section:
    """Optimizer, schedule, loss and metric."""
    spec = recipe.training
    options = [f"learning_rate={'rate' if spec.schedule != 'constant' else repr(spec.rate)}"]
    options += [f"weight_decay={spec.weight_decay!r}"] if spec.weight_decay is not None else []
    options += [f"global_clipnorm={spec.clip_norm!r}"] if spec.clip_norm else []
    options += [f"use_ema=True, ema_momentum={spec.ema!r}"] if spec.ema else []
    kind = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}[spec.optimizer]
    lines = _rate_lines(spec, steps)
    lines.append(f"optimizer = keras.optimizers.{kind}({', '.join(options)})")
    if spec.weight_decay or spec.optimizer == "adamw":
        lines.append('optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])')
    loss = "BinaryCrossentropy" if classes == 2 else "CategoricalCrossentropy"
    smooth = f"label_smoothing={spec.label_smoothing!r}" if spec.label_smoothing else ""
    lines.append(f'model.compile(optimizer, loss=keras.losses.{loss}({smooth}), metrics=["accuracy"])')
    return Section("Compile", "How the network learns, and what is measured.", "\n".join(lines), "compiling")


def _rate_lines(spec: TrainingSpec, steps: int) -> list[str]:
    if spec.schedule == "constant":
        return []
    rise = warmup_steps(spec, steps)
    begin = [f"initial_learning_rate={spec.rate * RISE_FROM if rise else spec.rate!r}"]
    begin += [f"decay_steps={max(1, steps - rise)}"]
    begin += [f"warmup_target={spec.rate!r}", f"warmup_steps={rise}"] if rise else []
    return [
        f"# {steps} steps in all: the rate rises in the first {rise}, then falls along half a cosine to 0.",
        "rate = keras.optimizers.schedules.CosineDecay(",
        f"    {', '.join(begin)}",
        ")",
    ]


def training_section(recipe: Recipe, classes: int) -> Section:
    """The loop: the batches of the run, in its order."""
    spec, augmentation = recipe.training, recipe.augmentation
    varied = bool(active_augmentations(augmentation))
    weighted = spec.class_weights == "balanced"
    pieces = [varying_code(augmentation, spec.seed)] if varied else []
    lines = ["x_batch, y_batch = x['train'][chosen], y['train'][chosen]"]
    if varied:
        lines.append("x_batch, y_batch = vary(x_batch, y_batch, now['epoch'], step)")
    parts = "x_batch, y_batch"
    if weighted:
        pieces.append(_weights(classes))
        whole = "np.concatenate([1 - y_batch, y_batch], axis=1)" if classes == 2 else "y_batch"
        lines.append(f"weights = {whole} @ class_weights")
        parts += ", weights"
    lines.append(f"yield {parts}")
    pieces.append(_batches(spec, lines, 3 if weighted else 2, classes))
    pieces.append(_fit(spec))
    reason = "Each epoch has its own order, drawn from the seed and the epoch's number alone."
    return Section("Train", reason, "\n\n\n".join(pieces), "training")


def _batches(spec: TrainingSpec, lines: Sequence[str], parts: int, classes: int) -> str:
    units = 1 if classes == 2 else classes
    specs = [
        "tf.TensorSpec((None, *x['train'].shape[1:]), 'uint8')",
        f"tf.TensorSpec((None, {units}), 'float32')",
    ]
    specs += ["tf.TensorSpec((None,), 'float32')"] if parts == 3 else []
    body = indent("\n".join(lines), "        ")
    return "\n".join(
        [
            "now = {}",
            "",
            "",
            "def batches():",
            f"    chance = np.random.Generator(np.random.Philox(key=[{spec.seed}, now['epoch']]))",
            "    order = chance.permutation(len(x['train']))",
            f"    for step, start in enumerate(range(0, len(order), {spec.batch_size})):",
            f"        chosen = order[start : start + {spec.batch_size}]",
            body,
            "",
            "",
            "dataset = tf.data.Dataset.from_generator(",
            "    batches,",
            f"    output_signature=({', '.join(specs)}),",
            ")",
            f"steps = -(-len(x['train']) // {spec.batch_size})",
            "# Keras needs the number of steps; otherwise its optimizer makes one step too many in every epoch.",
            "dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)",
        ]
    )


def _fit(spec: TrainingSpec) -> str:
    callbacks = ["keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: now.update(epoch=epoch))"]
    if spec.early_stopping:
        mode = "max" if spec.monitor == "val_accuracy" else "min"
        callbacks.append(
            f'keras.callbacks.EarlyStopping("{spec.monitor}", patience={spec.early_stopping}, mode="{mode}", '
            "restore_best_weights=True)"
        )
    if spec.ema:
        callbacks.append("keras.callbacks.SwapEMAWeights()")
    return "\n".join(
        [
            "now['epoch'] = 0",
            "validation = tf.data.Dataset.from_tensor_slices((x['validation'], y['validation']))",
            f"validation = validation.batch({VALIDATION_BATCH})",
            "history = model.fit(",
            "    dataset,",
            f"    epochs={spec.epochs},",
            "    validation_data=validation,",
            "    callbacks=[",
            *[f"        {c}," for c in callbacks],
            "    ],",
            "    shuffle=False,  # the batches have their own order",
            "    verbose=2,",
            ")",
        ]
    )


def _weights(classes: int) -> str:
    whole = "np.concatenate([1 - y['train'], y['train']], axis=1)" if classes == 2 else "y['train']"
    return "\n".join(
        [
            f"counts = {whole}.sum(axis=0)",
            "class_weights = (len(x['train']) / len(counts) / counts).astype('float32')  # rare classes count more",
        ]
    )


# A program that has run ``testing_section`` has the test accuracy under this expression.
TEST_ACCURACY = "float(right.mean())"


def testing_section(recipe: Recipe, classes: int) -> Section:
    """The one look at the test set."""
    lines = []
    if recipe.training.precision == "bfloat16":
        lines += [
            "# Trained in bfloat16, tested in float32: the same weights in a network without the shorter type.",
            "config = model.get_config()",
            "for layer in config['layers']:",
            "    if layer['class_name'] != 'InputLayer':",
            "        layer['config']['dtype'] = 'float32'",
            "weights = model.get_weights()",
            "model = keras.Sequential.from_config(config)",
            "model.set_weights(weights)",
        ]
    lines.append('p = model.predict(x["test"], batch_size=500, verbose=0)')
    likeliest = "(p[:, 0] > 0.5).astype(int)" if classes == 2 else "p.argmax(axis=1)"
    lines += [
        f"right = {likeliest} == labels['test']",
        'print(f"test accuracy {right.mean():.4f} ({right.sum()} of {len(right)} images)")',
    ]
    reason = "Once, at the end: images that had no part in any decision."
    return Section("Test", reason, "\n".join(lines), "evaluating")


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
