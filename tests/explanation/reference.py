"""Grad-CAM once more, in plain TensorFlow operations and without Keras, from the weights alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from conviction.config import ModelSpec

ACTIVATIONS: dict[str | None, Any] = {
    None: lambda tf, x: x,
    "relu": lambda tf, x: tf.maximum(x, 0.0),
    "elu": lambda tf, x: tf.where(x > 0, x, tf.exp(tf.minimum(x, 0.0)) - 1.0),
    "gelu": lambda tf, x: x * 0.5 * (1.0 + tf.math.erf(x / np.sqrt(2.0).astype(np.float32))),
    "leaky_relu": lambda tf, x: tf.where(x > 0, x, 0.2 * x),
    "selu": lambda tf, x: 1.05070098 * tf.where(x > 0, x, 1.67326324 * (tf.exp(tf.minimum(x, 0.0)) - 1.0)),
    "sigmoid": lambda tf, x: 1.0 / (1.0 + tf.exp(-x)),
    "silu": lambda tf, x: x / (1.0 + tf.exp(-x)),
    "tanh": lambda tf, x: tf.tanh(x),
}


def gradients(
    layers: ModelSpec, model: Any, pixels: np.ndarray, class_index: int
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The gradient of the logit at the pixels, and (output, gradient there) of every hidden layer by its name."""
    import tensorflow as tf

    weights = {layer.name: [np.asarray(w) for w in layer.get_weights()] for layer in model.layers}
    names = [layer.name for layer in model.layers]
    kept = {}
    with tf.GradientTape() as tape:
        start = tf.Variable(pixels[np.newaxis].astype(np.float32))
        x = start / 255.0
        for layer, name in zip(layers.layers, names[1:-1], strict=True):
            x = _step(tf, layer, weights[name], x)
            kept[name] = x
        kernel, bias = weights[names[-1]]
        logits = tf.linalg.matmul(x, kernel) + bias
        both = tf.concat([-logits, logits], axis=1) if logits.shape[1] == 1 else logits
        score = both[0, class_index]
    at_pixels, at_layers = tape.gradient(score, (start, kept))
    return at_pixels[0].numpy(), {n: (kept[n][0].numpy(), at_layers[n][0].numpy()) for n in kept}


def loss_gradients(
    layers: ModelSpec, model: Any, pixels: np.ndarray, label: int
) -> tuple[float, dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
    """The cross-entropy, its gradient at every layer ("" the pixels, "output" the logits), and at the weights."""
    import tensorflow as tf

    weights = {layer.name: [tf.Variable(w) for w in layer.get_weights()] for layer in model.layers}
    names = [layer.name for layer in model.layers]
    kept = {}
    with tf.GradientTape() as tape:
        x = kept[""] = tf.Variable(pixels[np.newaxis].astype(np.float32))
        x = kept["normalise"] = x / 255.0
        for layer, name in zip(layers.layers, names[1:-1], strict=True):
            x = kept[name] = _step(tf, layer, weights[name], x)
        kernel, bias = weights[names[-1]]
        logits = kept["output"] = tf.linalg.matmul(x, kernel) + bias
        both = tf.concat([tf.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits
        loss = -tf.nn.log_softmax(both)[0, label]
    at_layers, at_weights = tape.gradient(
        loss, (kept, weights), unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return (
        float(loss),
        {name: gradient[0].numpy() for name, gradient in at_layers.items()},
        {name: [g.numpy() for g in gradients] for name, gradients in at_weights.items()},
    )


def loss_around(model: Any, pixels: np.ndarray, label: int) -> tuple[float, np.ndarray]:
    """The cross-entropy of x + gelu(second(x)) below its mean and a dense layer, and its gradient at the pixels."""
    import tensorflow as tf

    arrays = model.get_weights()
    first, second, dense = arrays[:2], arrays[2:4], arrays[4:]
    with tf.GradientTape() as tape:
        start = tf.Variable(pixels[np.newaxis].astype(np.float32))
        x = tf.nn.conv2d(start / 255.0, first[0], 1, "SAME") + first[1]
        x = x + ACTIVATIONS["gelu"](tf, tf.nn.conv2d(x, second[0], 1, "SAME") + second[1])
        logits = tf.linalg.matmul(tf.reduce_mean(x, axis=[1, 2]), dense[0]) + dense[1]
        loss = -tf.nn.log_softmax(logits)[0, label]
    return float(loss), tape.gradient(loss, start)[0].numpy()


def _step(tf: Any, layer: Any, weights: list[np.ndarray], x: Any) -> Any:
    if layer.type in ("Conv2D", "Dense"):
        if layer.type == "Conv2D":
            y = tf.nn.conv2d(x, weights[0], layer.strides, layer.padding.upper())
        else:
            y = tf.linalg.matmul(x, weights[0])
        if layer.use_bias:
            y = y + weights[1]
        return ACTIVATIONS[layer.activation](tf, y)
    if layer.type == "BatchNormalization":
        gamma, beta, mean, variance = weights
        return gamma * (x - mean) / tf.sqrt(variance + 1e-3) + beta
    if layer.type == "Activation":
        return ACTIVATIONS[layer.activation](tf, x)
    if layer.type in ("MaxPooling2D", "AveragePooling2D"):
        pool = tf.nn.max_pool2d if layer.type == "MaxPooling2D" else tf.nn.avg_pool2d
        return pool(x, layer.pool_size, layer.pool_size, layer.padding.upper())
    if layer.type == "GlobalAveragePooling2D":
        return tf.reduce_mean(x, axis=[1, 2])
    if layer.type == "Flatten":
        return tf.reshape(x, (1, -1))
    assert layer.type == "Dropout"
    return tf.identity(x)


def grad_cam(output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Selvaraju et al. (2017), channel by channel: (h, w, k) twice -> (h, w) with largest value 1."""
    height, width, channels = output.shape
    total = np.zeros((height, width))
    for k in range(channels):
        alpha = sum(float(gradient[i, j, k]) for i in range(height) for j in range(width)) / (height * width)
        total += alpha * output[:, :, k]
    total[total < 0] = 0
    return total / total.max() if total.max() > 0 else total
