"""The gradient of a dense layer with softmax and cross-entropy."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def dense_gradient(
    inputs: np.ndarray, probabilities: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the loss for the kernel and the bias of the last layer.

    The layer computes inputs @ kernel + bias, softmax makes probabilities of that, and the loss is the mean over the
    images of the categorical cross-entropy.

    Args:
        inputs: (n, values), what enters the layer.
        probabilities: (n, classes), what the network answers.
        targets: (n, classes), one-hot rows.

    Returns:
        The gradient for the kernel, (values, classes), and for the bias, (classes,).

    >>> kernel, bias = dense_gradient(np.array([[2.0]]), np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    >>> kernel.tolist(), bias.tolist()
    ([[-1.0, 1.0]], [-0.5, 0.5])
    """
    difference = (probabilities - targets) / len(inputs)
    return inputs.T @ difference, difference.sum(axis=0)


def _twice(x: np.ndarray, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = dense_gradient(x, p, t)
    return kernel / len(x), bias / len(x)


def _summed(x: np.ndarray, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = dense_gradient(x, p, t)
    return kernel * len(x), bias * len(x)


def _bias_summed(x: np.ndarray, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = dense_gradient(x, p, t)
    return kernel, bias * len(x)


def _bias_twice(x: np.ndarray, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = dense_gradient(x, p, t)
    return kernel, bias / len(x)


def _squared(x: np.ndarray, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    difference = (p - t) * p * (1 - p) / len(x)
    return x.T @ difference, difference.sum(axis=0)


def _right_class_alone(x: np.ndarray, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    difference = (p - t) * t / len(x)
    return x.T @ difference, difference.sum(axis=0)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    cases: list[Arguments] = [
        (np.array([[2.0]]), np.array([[0.75, 0.25]]), np.array([[1.0, 0.0]])),
        (np.array([[1.0, 3.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])),
        (np.array([[1.0], [2.0]]), np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([[0.0, 1.0], [1.0, 0.0]])),
    ]
    for n, values, classes in ((3, 4, 2), (6, 5, 4)):
        powers = np.exp(chance.normal(size=(n, classes)))
        targets = np.eye(classes)[chance.integers(0, classes, n)]
        cases.append((chance.normal(size=(n, values)), powers / powers.sum(1, keepdims=True), targets))
    return cases


EXERCISE = Exercise(
    title="The gradient of the last layer",
    chapter="backpropagation",
    task="Softmax and cross-entropy fit together: the gradient of the loss for what enters softmax is p - y. From "
    "there, one product leads to the weights.",
    solution=dense_gradient,
    cases=_cases,
    misconceptions=(
        Misconception(
            "sign",
            "You have y - p. The gradient is p - y: where the answer is too large, the loss rises with it.",
            lambda x, p, t: dense_gradient(x, t, p),
        ),
        Misconception(
            "twice",
            "You divide by the batch twice. The loss is a mean over the images, so the gradient is divided by their "
            "number once.",
            _twice,
        ),
        Misconception(
            "summed",
            "You forgot to divide by the number of images. The loss is their mean, and so is its gradient.",
            _summed,
        ),
        Misconception(
            "bias_summed",
            "Your gradient for the bias is a sum over the images, and that for the kernel a mean. Both are means.",
            _bias_summed,
        ),
        Misconception(
            "bias_twice",
            "You divide the gradient for the bias by the batch twice: the difference is divided already, so sum it.",
            _bias_twice,
        ),
        Misconception(
            "by_all",
            "You divide by the number of all probabilities. The loss is a mean over the images: divide by their "
            "number.",
            lambda x, p, t: tuple(g / p.shape[1] for g in dense_gradient(x, p, t)),
        ),
        Misconception(
            "returned_first",
            "You return the gradient of the bias first. The order is: kernel, bias.",
            lambda x, p, t: dense_gradient(x, p, t)[::-1],
        ),
        Misconception(
            "transposed",
            "Your gradient for the kernel is transposed. It has the shape of the kernel: (values, classes).",
            lambda x, p, t: (dense_gradient(x, p, t)[0].T, dense_gradient(x, p, t)[1]),
        ),
        Misconception(
            "squared",
            "You multiply by p (1 - p), the slope of a sigmoid. With cross-entropy that factor cancels: p - y is "
            "all.",
            _squared,
        ),
        Misconception(
            "right_class_alone",
            "You look at the right class alone. The other classes have a gradient, too: their probabilities have to "
            "become smaller.",
            _right_class_alone,
        ),
    ),
    hints=(
        "Begin with probabilities - targets, divided by the number of images.",
        "The gradient for the kernel has the shape (values, classes): which product of (n, values) and (n, classes) "
        "has?",
        "inputs.T @ difference, and difference.sum(axis=0)",
    ),
)
