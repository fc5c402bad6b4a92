"""The specification to an ordinary, compiled ``keras.Sequential``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conviction.backend import import_keras
from conviction.config import ModelSpec, TrainingSpec
from conviction.model.shapes import walk

if TYPE_CHECKING:
    import keras


def build(spec: ModelSpec, input_shape: tuple[int, int, int], classes: int, seed: int) -> keras.Sequential:
    """Builds the network for raw pixels.

    Args:
        spec: The hidden layers.
        input_shape: (height, width, channels).
        classes: At least 2.
        seed: Decides the initial weights and the dropout masks, layer by layer; Keras's global random
            state is neither used nor changed.

    Returns:
        A model from (n, height, width, channels) uint8 to probabilities: (n, classes) from a softmax, or
        (n, 1) from one sigmoid unit for two classes, the probability of the second.

    Raises:
        RequestError: A layer does not fit; see ``walk``.
    """
    rows = walk(spec, input_shape, classes)
    keras = import_keras()
    model = keras.Sequential(name="cnn")
    model.add(keras.Input(input_shape, dtype="uint8", name="pixels"))
    model.add(keras.layers.Rescaling(1.0 / 255.0, name=rows[0].name))
    for index, (layer, row) in enumerate(zip(spec.layers, rows[1:-1], strict=True)):
        options: dict[str, Any] = {k: v for k, v in layer.model_dump().items() if k != "type"}
        if layer.type in ("Conv2D", "Dense"):
            options["kernel_initializer"] = _glorot(seed, index)
        if layer.type == "Dropout":
            options["seed"] = layer_seed(seed, index)
        model.add(getattr(keras.layers, layer.type)(**options, name=row.name))
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    initial = _glorot(seed, len(spec.layers))
    model.add(keras.layers.Dense(units, activation=activation, kernel_initializer=initial, name="output"))
    return model


def layer_seed(seed: int, index: int) -> int:
    """A seed for the layer at ``index``: equal layers of one network must not start equal."""
    return (seed * 1_000_003 + index) % 2**31


def _glorot(seed: int, index: int) -> Any:
    # Keras's default initializer, with a seed.
    return import_keras().initializers.GlorotUniform(seed=layer_seed(seed, index))


def loss_name(classes: int) -> str:
    """The loss that goes with ``encode_labels`` for this many classes."""
    return "binary_crossentropy" if classes == 2 else "categorical_crossentropy"


def compile_model(
    model: keras.Sequential, spec: TrainingSpec, classes: int, *, mixed_targets: bool = False
) -> None:
    """Compiles with the optimizer, its rate, the loss that goes with the labels, and accuracy.

    ``mixed_targets`` (mixup) makes the accuracy of two classes count the likelier class of a target such as 0.7:
    Keras compares with 0.7 itself, to which no answer is equal.
    """
    keras = import_keras()
    accuracy: Any = "accuracy"
    if mixed_targets and classes == 2:
        # Keras's own metric with rounded targets, so that the saved model needs nothing of this package.
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy")
        update = accuracy.update_state

        def update_state(y: Any, p: Any, sample_weight: Any = None) -> Any:
            return update(keras.ops.cast(y > 0.5, "float32"), p, sample_weight=sample_weight)

        accuracy.update_state = update_state
    optimizer = keras.optimizers.get(
        {"class_name": spec.optimizer, "config": {"learning_rate": spec.learning_rate}}
    )
    model.compile(optimizer=optimizer, loss=loss_name(classes), metrics=[accuracy])
