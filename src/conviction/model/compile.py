"""How a network will learn: optimizer, schedule, loss and metric, as Keras's own objects.

All but Muon is Keras's own, so that the saved model loads where this package is not installed; ``make_portable`` takes
Muon out before a model is saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conviction.backend import import_keras
from conviction.config import TrainingSpec
from conviction.model.muon import muon_class

if TYPE_CHECKING:
    import keras

# A rise starts from this share of the highest rate, as in fastai.
RISE_FROM = 1.0 / 25.0
WARMUP = {"one_cycle": 0.3, "cosine": 0.05, "linear": 0.0}


def loss_name(classes: int) -> str:
    """The loss that goes with ``encode_labels`` for this many classes."""
    return "binary_crossentropy" if classes == 2 else "categorical_crossentropy"


def warmup_steps(spec: TrainingSpec, steps: int) -> int:
    """The number of steps, of all ``steps``, in which the rate rises."""
    if spec.schedule == "constant":
        return 0
    share = WARMUP[spec.schedule] if spec.warmup is None else spec.warmup
    return round(share * steps)


def compile_model(
    model: keras.Sequential,
    spec: TrainingSpec,
    classes: int,
    *,
    steps: int,
    steps_per_call: int = 1,
    mixed_targets: bool = False,
) -> None:
    """Compiles with the optimizer, its schedule, the loss that goes with the labels, and accuracy.

    Args:
        model: From ``build``.
        spec: How the network learns.
        classes: At least 2.
        steps: In the whole training; a schedule is spread over them.
        steps_per_call: How many steps the backend makes without Python in between.
        mixed_targets: Targets as mixup makes them: the accuracy of two classes then uses the likelier class of a target
            such as 0.7. Keras compares with 0.7 itself, which no answer equals.
    """
    keras = import_keras()
    accuracy: Any = "accuracy"
    if mixed_targets and classes == 2:
        # Keras's own metric with rounded targets, so that the saved model does not need this package.
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy")
        update = accuracy.update_state

        def update_state(y: Any, p: Any, sample_weight: Any = None) -> Any:
            return update(keras.ops.cast(y > 0.5, "float32"), p, sample_weight=sample_weight)

        accuracy.update_state = update_state
    model.compile(
        optimizer=_optimizer(spec, steps),
        loss=_loss(spec, classes),
        metrics=[accuracy],
        steps_per_execution=steps_per_call,
    )


def make_portable(model: keras.Sequential, spec: TrainingSpec, classes: int) -> None:
    """Compiles a trained model with AdamW in place of Muon, which a saved model could not bring along."""
    if spec.optimizer == "muon":
        plain = spec.model_copy(update={"optimizer": "adamw", "schedule": "constant"})
        compile_model(model, plain, classes, steps=1)
        # Keras does not load what it saved of an optimizer without variables.
        model.optimizer.build(model.trainable_variables)


def carry_over(learned: keras.Sequential, model: keras.Sequential) -> None:
    """Copies what a network of the same specification has learned, weights and optimizer, to a compiled one."""
    model.set_weights(learned.get_weights())
    model.optimizer.build(model.trainable_variables)
    for to, of in zip(model.optimizer.variables, learned.optimizer.variables, strict=True):
        to.assign(of)


def _optimizer(spec: TrainingSpec, steps: int) -> Any:
    keras = import_keras()
    options: dict[str, Any] = {"learning_rate": _rate(spec, steps)}
    if spec.optimizer == "muon" and spec.precision == "bfloat16":
        options["products"] = "bfloat16"
    if spec.weight_decay is not None:
        options["weight_decay"] = spec.weight_decay
    if spec.clip_norm:
        options["global_clipnorm"] = spec.clip_norm
    if spec.ema:
        options |= {"use_ema": True, "ema_momentum": spec.ema}
    if spec.optimizer == "muon":
        optimizer = muon_class(keras)(**options)
    else:
        optimizer = keras.optimizers.get({"class_name": spec.optimizer, "config": options})
    if optimizer.weight_decay:
        # Scales and shifts have no reason to be small.
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def make_optimizer(spec: TrainingSpec) -> Any:
    """The optimizer of a specification with a constant rate."""
    return _optimizer(spec.model_copy(update={"schedule": "constant"}), 1)


def _rate(spec: TrainingSpec, steps: int) -> Any:
    """A number, or a Keras schedule in which step i of all ``steps`` (from 0) has the rate of the specification."""
    if spec.schedule == "constant":
        return spec.rate
    schedules = import_keras().optimizers.schedules
    if spec.schedule == "linear":
        return schedules.PolynomialDecay(spec.rate, max(1, steps), end_learning_rate=0.0)
    rise = warmup_steps(spec, steps)
    return schedules.CosineDecay(
        initial_learning_rate=spec.rate * RISE_FROM if rise else spec.rate,
        decay_steps=max(1, steps - rise),
        warmup_target=spec.rate if rise else None,
        warmup_steps=rise,
    )


def _loss(spec: TrainingSpec, classes: int) -> Any:
    if not spec.label_smoothing:
        return loss_name(classes)
    losses = import_keras().losses
    kind = losses.BinaryCrossentropy if classes == 2 else losses.CategoricalCrossentropy
    return kind(label_smoothing=spec.label_smoothing, name=loss_name(classes))
