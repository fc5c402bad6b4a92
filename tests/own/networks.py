"""Networks as users build them: chains, graphs, models with code, layers with code; each with a loss of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conviction.backend import import_keras

keras = import_keras()
layers = keras.layers


@keras.saving.register_keras_serializable(package="tests")
class Scale(layers.Layer):  # type: ignore[misc]
    """Multiplies each channel by a weight."""

    def __init__(self, start: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start

    def build(self, shape: Any) -> None:
        initial = keras.initializers.Constant(self.start)
        self.factor = self.add_weight(shape=(shape[-1],), initializer=initial, name="factor")

    def call(self, values: Any) -> Any:
        return values * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start}


@keras.saving.register_keras_serializable(package="tests")
class Coded(keras.Model):  # type: ignore[misc]
    """A model with code of its own."""

    def __init__(self, classes: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self.convolution = layers.Conv2D(8, 3, activation="relu")
        self.pooling = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(classes, activation="softmax")

    def call(self, values: Any) -> Any:
        return self.dense(self.pooling(self.convolution(values)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


def compiled(model: Any, loss: Any) -> Any:
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def chain(shape: tuple[int, int, int] = (8, 8, 1), classes: int = 10) -> Any:
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(classes, activation="softmax"),
        ]
    )
    return compiled(model, "categorical_crossentropy")


def custom_layer() -> Any:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            Scale(2.0),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    return compiled(model, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def functional_chain() -> Any:
    pixels = keras.Input((8, 8, 1))
    values = layers.Conv2D(8, 3, activation="relu")(pixels)
    values = layers.BatchNormalization()(values)
    values = layers.GlobalAveragePooling2D()(values)
    return compiled(
        keras.Model(pixels, layers.Dense(10, activation="softmax")(values)), "sparse_categorical_crossentropy"
    )


def graph() -> Any:
    pixels = keras.Input((8, 8, 1))
    values = layers.Conv2D(8, 3, padding="same", activation="relu")(pixels)
    around = layers.Conv2D(8, 3, padding="same", activation="relu")(values)
    values = layers.GlobalAveragePooling2D()(layers.Add()([values, around]))
    return compiled(
        keras.Model(pixels, layers.Dense(10, activation="softmax")(values)), "categorical_crossentropy"
    )


def coded() -> Any:
    return compiled(Coded(), "sparse_categorical_crossentropy")


def uncompiled() -> Any:
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)])


KINDS: dict[str, Callable[[], Any]] = {
    "a chain": chain,
    "a layer with code": custom_layer,
    "a functional chain": functional_chain,
    "a graph": graph,
    "a model with code": coded,
    "not compiled, with logits": uncompiled,
}
