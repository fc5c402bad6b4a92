"""The parts of a program that build, compile, train and test the network of a run, without this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import indent
from typing import Any

from conviction.config import Recipe, TrainingSpec
from conviction.config.model import Conv2D, Whitening
from conviction.config.probing import needs_probe, probe_recipe
from conviction.model.build import begin_with_identity, layer_seed
from conviction.model.compile import RISE_FROM, warmup_steps
from conviction.model.muon import muon_class
from conviction.model.shapes import UNIT, scaling_of, walk
from conviction.model.whitening import whitening_weights
from conviction.programs.backbone_code import (
    backbone_section,
    features_section,
    kept_layers,
    learning_code,
)
from conviction.programs.section import Section
from conviction.programs.source_code import source_of
from conviction.programs.varying_code import varying_code
from conviction.training.augment import active_augmentations
from conviction.training.train import VALIDATION_BATCH, steps_per_epoch
from conviction.training.views import views_kept

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


def network_sections(recipe: Recipe, shape: Shape, classes: int, train_images: int) -> list[Section]:
    """The network, with what comes before it where it begins with a pretrained one."""
    if recipe.model.backbone is None:
        return [model_section(recipe, shape, classes)]
    sections = [backbone_section(recipe, shape)]
    if needs_probe(recipe):
        return [*sections, *_probe_sections(recipe, shape, classes, train_images)]
    frozen = kept_layers(recipe)
    if frozen:
        sections.append(features_section(recipe, shape, _frozen_lines(recipe, shape, classes)))
    return [*sections, model_section(recipe, shape, classes, frozen)]


def _frozen_lines(recipe: Recipe, shape: Shape, classes: int) -> list[str]:
    layers = _layer_lines(recipe, shape, classes, range(kept_layers(recipe)))
    return [_scaling_line(recipe, shape), *layers]


def _probe_sections(recipe: Recipe, shape: Shape, classes: int, train_images: int) -> list[Section]:
    """What follows the backbone learns first; then the network begins with what that has learned."""
    assert recipe.model.backbone is not None
    first = probe_recipe(recipe, train_images)
    steps = first.training.epochs * steps_per_epoch(first.training, train_images)
    features = features_section(first, shape, _frozen_lines(first, shape, classes), ("train", "validation"))
    head = model_section(first, shape, classes, kept_layers(first))
    network = model_section(recipe, shape, classes)
    keeping = ["learned = [layer.get_weights() for layer in model.layers]", "x = pixels"]
    putting = [
        "for layer, weights in zip(model.layers[-len(learned) :], learned):",
        "    layer.set_weights(weights)",
    ]
    return [
        replace(features, code=f"pixels = x\n{features.code}"),
        replace(head, title="Model of the head", chapter=""),
        replace(compile_section(first, classes, steps), title="Compile the head", chapter=""),
        replace(
            training_section(first, classes),
            title="Train the head",
            reason="It learns before the backbone does, because a random output layer would spoil that.",
            chapter="",
        ),
        Section(
            "Fine-tuning",
            "The head has learned. Now the backbone learns with it, from the pictures themselves.",
            "\n".join([*keeping, learning_code(recipe.model.backbone)]),
            "transfer",
        ),
        replace(network, code="\n".join([network.code, *putting])),
    ]


def model_section(recipe: Recipe, shape: Shape, classes: int, frozen: int = 0) -> Section:
    """The network, layer by layer, each with the seed that it had in the run.

    Args:
        recipe: The specification.
        shape: (height, width, channels) in pixels.
        classes: At least 2.
        frozen: How many of its first hidden layers have already made features of the pictures.
    """
    spec, seed = recipe.model, recipe.training.seed
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    lines = _layer_lines(recipe, shape, classes, range(frozen, len(spec.layers)))
    lines.append(
        f'    layers.Dense({units}, activation="{activation}", '
        f'kernel_initializer=glorot({layer_seed(seed, len(spec.layers))}), dtype="float32", name="output"),'
    )
    begin = ["    keras.Input(x['train'].shape[1:]),"]
    if not frozen:
        begin = [f'    keras.Input({shape}, dtype="uint8"),', _scaling_line(recipe, shape)]
    code = "\n".join(
        [
            "layers, glorot = keras.layers, keras.initializers.GlorotUniform",
            "model = keras.Sequential([",
            *begin,
            *lines,
            "])",
            *_initial_lines(recipe, shape, classes),
            "model.summary()",
        ]
    )
    seeds = "Each layer starts with weights drawn from its own seed."
    if frozen:
        reason = "What learns: features go in. " + seeds
    elif recipe.model.backbone is not None:
        reason = "Raw pixels go in; the first layer scales them as the backbone expects. " + seeds
    else:
        reason = "Raw pixels go in; dividing by 255 is the first layer. " + seeds
    return Section("Model", reason, code, "architecture")


def _initial_lines(recipe: Recipe, shape: Shape, classes: int) -> list[str]:
    """What layers begin with besides random weights."""
    layers = recipe.model.layers
    rows = walk(recipe.model, shape, classes)[1:-1]
    lines = []
    if isinstance(layers[0], Whitening):
        fitted = f'whitening_weights(x["train"], np.arange(len(x["train"])), {layers[0].kernel_size})'
        lines += [
            "",
            "",
            source_of([whitening_weights]),
            "",
            "",
            f'model.get_layer("{rows[0].name}").set_weights({fitted})',
        ]
    identity = [
        row.name
        for layer, row in zip(layers, rows, strict=True)
        if isinstance(layer, Conv2D) and layer.kernel_initializer == "dirac"
    ]
    if identity:
        lines += ["", "", source_of([begin_with_identity]), "", "", f"for name in {identity}:"]
        lines.append("    begin_with_identity(model.get_layer(name))")
    return lines


def _policy(recipe: Recipe) -> str:
    return ', dtype="mixed_bfloat16"' if recipe.training.precision == "bfloat16" else ""


def _scaling_line(recipe: Recipe, shape: Shape) -> str:
    scaling = scaling_of(recipe.model)
    if scaling is UNIT:
        return f'    layers.Rescaling(1.0 / 255.0, name="normalise"{_policy(recipe)}),  # normalise'
    policy = "" if kept_layers(recipe) else _policy(recipe)
    return f'    layers.Rescaling({scaling.scale!r}, {scaling.offset!r}, name="normalise"{policy}),  # {scaling.words}'


def _layer_lines(recipe: Recipe, shape: Shape, classes: int, which: range) -> list[str]:
    """A line for each of these hidden layers."""
    spec, seed = recipe.model, recipe.training.seed
    rows = walk(spec, shape, classes)[1:-1]
    policy = "" if which.start < kept_layers(recipe) else _policy(recipe)
    lines = []
    for index in which:
        layer, row = spec.layers[index], rows[index]
        if layer.type == "Backbone":
            lines.append("    backbone,")
            continue
        if isinstance(layer, Whitening):
            fixed = f'{row.output[-1]}, {layer.kernel_size}, trainable=False, kernel_initializer="zeros"'
            lines.append(f'    layers.Conv2D({fixed}, name="{row.name}"{policy}),')
            continue
        options = layer.model_dump(exclude={"type", "kernel_initializer"})
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
    return lines


def compile_section(recipe: Recipe, classes: int, steps: int) -> Section:
    """Optimizer, schedule, loss and metric."""
    spec = recipe.training
    options = [f"learning_rate={'rate' if spec.schedule != 'constant' else repr(spec.rate)}"]
    options += [f"weight_decay={spec.weight_decay!r}"] if spec.weight_decay is not None else []
    options += [f"global_clipnorm={spec.clip_norm!r}"] if spec.clip_norm else []
    options += [f"use_ema=True, ema_momentum={spec.ema!r}"] if spec.ema else []
    kinds = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
    kind = f"keras.optimizers.{kinds.get(spec.optimizer)}"
    lines = _rate_lines(spec, steps)
    if spec.optimizer == "muon":
        kind = f"{muon_class.__name__}(keras)"
        lines = [source_of([muon_class]), "", "", *lines]
        options += ['products="bfloat16"'] if spec.precision == "bfloat16" else []
    lines.append(f"optimizer = {kind}({', '.join(options)})")
    if spec.weight_decay or spec.optimizer in ("adamw", "muon"):
        lines.append('optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])')
    loss = "BinaryCrossentropy" if classes == 2 else "CategoricalCrossentropy"
    smooth = f"label_smoothing={spec.label_smoothing!r}" if spec.label_smoothing else ""
    lines.append(f'model.compile(optimizer, loss=keras.losses.{loss}({smooth}), metrics=["accuracy"])')
    return Section("Compile", "How the network learns, and what is measured.", "\n".join(lines), "compiling")


def _rate_lines(spec: TrainingSpec, steps: int) -> list[str]:
    if spec.schedule == "constant":
        return []
    if spec.schedule == "linear":
        return [
            f"# {steps} steps in all: the rate falls in a straight line to 0.",
            f"rate = keras.optimizers.schedules.PolynomialDecay({spec.rate!r}, {max(1, steps)}, end_learning_rate=0.0)",
        ]
    rise = warmup_steps(spec, steps)
    begin = [f"initial_learning_rate={spec.rate * RISE_FROM if rise else spec.rate!r}"]
    begin += [f"decay_steps={max(1, steps - rise)}"]
    begin += [f"warmup_target={spec.rate!r}", f"warmup_steps={rise}"] if rise else []
    risen = f"rises in the first {rise}, then falls" if rise else "falls"
    return [
        f"# {steps} steps in all: the rate {risen} along half a cosine to 0.",
        "rate = keras.optimizers.schedules.CosineDecay(",
        f"    {', '.join(begin)}",
        ")",
    ]


def training_section(recipe: Recipe, classes: int) -> Section:
    """The loop: the batches of the run, in its order."""
    spec, augmentation = recipe.training, recipe.augmentation
    kept = views_kept(recipe) if active_augmentations(augmentation) else 0
    varied = bool(active_augmentations(augmentation)) and not kept
    weighted = spec.class_weights == "balanced"
    pieces = [varying_code(augmentation, spec.seed)] if varied else []
    inputs = f"views[now['epoch'] % {kept}]" if kept else "x['train']"
    lines = [f"x_batch, y_batch = {inputs}[chosen], y['train'][chosen]"]
    if varied:
        lines.append("x_batch, y_batch = vary(x_batch, y_batch, now['epoch'], step, chosen)")
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
        "tf.TensorSpec((None, *x['train'].shape[1:]), x['train'].dtype)",
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
            "options = tf.data.Options()",
            "options.autotune.enabled = False  # it can hold up the end of an epoch for a minute",
            "# Keras needs the number of steps; otherwise its optimizer makes one step too many in every epoch.",
            "dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2).with_options(options)",
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
            f"validation = validation.batch({VALIDATION_BATCH}).with_options(options)",
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


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
