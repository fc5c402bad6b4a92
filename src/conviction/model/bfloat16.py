"""Layers that train faster in bfloat16 on TensorFlow than Keras's own, with the same weights and the same function.

Keras writes batch normalisation as a dozen operations in float32, and TensorFlow silu and gelu as several in bfloat16,
which a processor converts value by value. Where it multiplies bfloat16 in hardware, these took as long as all
convolutions together (docs/measurements.md).
The learned values go into ordinary layers: a saved model does not contain these.
"""

from __future__ import annotations

import math
from typing import Any

from conviction.backend import import_keras


def layer_type(name: str) -> Any:
    """The class of a layer of the specification, for training in bfloat16."""
    return (
        _fused_batch_normalization() if name == "BatchNormalization" else getattr(import_keras().layers, name)
    )


def activation(name: str | None) -> Any:
    """The activation of a layer, for training in bfloat16."""
    return {"silu": _silu, "gelu": _gelu}[name]() if name in ("silu", "gelu") else name


def _fused_batch_normalization() -> Any:
    """A ``keras.layers.BatchNormalization`` that normalises maps, (n, h, w, c) bfloat16, by one operation.

    Sums are made in float32; results differ from Keras's by the rounding of bfloat16.
    """
    import tensorflow as tf

    keras = import_keras()

    class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            if not training or len(inputs.shape) != 4:
                return super().call(inputs, training=training, mask=mask)
            unused = tf.zeros((0,))
            normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=tf.convert_to_tensor(self.gamma),
                offset=tf.convert_to_tensor(self.beta),
                mean=unused,
                variance=unused,
                epsilon=self.epsilon,
                is_training=True,
            )
            # The operation estimates the variance without bias; Keras keeps that of the batch itself.
            values = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
            variance *= (values - 1) / values
            for average, statistic in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average * self.momentum + statistic * (1.0 - self.momentum))
            return normalised

    return FusedBatchNormalization


def _silu() -> Any:
    """Calculates x * sigmoid(x) in float32; the backward pass reuses the sigmoid of the forward pass."""
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def silu(x: Any) -> Any:
        wide = tf.cast(x, tf.float32)
        sigmoid = tf.sigmoid(wide)
        y = wide * sigmoid

        def gradient(upstream: Any) -> Any:
            return tf.cast(tf.cast(upstream, tf.float32) * (sigmoid + y * (1.0 - sigmoid)), x.dtype)

        return tf.cast(y, x.dtype), gradient

    return silu


def _gelu() -> Any:
    """Calculates x times the normal distribution up to x in float32; the backward pass reuses that."""
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def gelu(x: Any) -> Any:
        wide = tf.cast(x, tf.float32)
        below = 0.5 * (1.0 + tf.math.erf(wide * 0.5**0.5))

        def gradient(upstream: Any) -> Any:
            density = tf.exp(-0.5 * wide * wide) * (2 * math.pi) ** -0.5
            return tf.cast(tf.cast(upstream, tf.float32) * (below + wide * density), x.dtype)

        return tf.cast(wide * below, x.dtype), gradient

    return gelu
