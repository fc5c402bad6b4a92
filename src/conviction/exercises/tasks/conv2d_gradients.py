"""The way back through a convolution."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def conv2d_gradients(
    image: np.ndarray, kernel: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The gradients of the loss for the image, the kernel and the bias of a convolution.

    The convolution has one channel and one filter, moves by one pixel and does not pad.

    Args:
        image: (height, width), what entered.
        kernel: (rows, columns).
        above: (height - rows + 1, width - columns + 1), the gradient for what came out.

    Returns:
        The gradient for the image, that for the kernel, both of the shape of what they are for, and that for the bias,
        a number.

    >>> image, kernel = np.array([[1.0, 2.0]]), np.array([[3.0]])
    >>> for_image, for_kernel, for_bias = conv2d_gradients(image, kernel, np.array([[10.0, 20.0]]))
    >>> for_image.tolist(), for_kernel.tolist(), for_bias
    ([[30.0, 60.0]], [[50.0]], 30.0)
    """
    rows, columns = kernel.shape
    for_image, for_kernel = np.zeros(image.shape), np.zeros(kernel.shape)
    for y in range(above.shape[0]):
        for x in range(above.shape[1]):
            for_image[y : y + rows, x : x + columns] += above[y, x] * kernel
            for_kernel += above[y, x] * image[y : y + rows, x : x + columns]
    return for_image, for_kernel, float(above.sum())


def _not_flipped(
    image: np.ndarray, kernel: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    right = conv2d_gradients(image, kernel, above)
    return conv2d_gradients(image, kernel[::-1, ::-1], above)[0], right[1], right[2]


def _kernel_flipped(
    image: np.ndarray, kernel: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    right = conv2d_gradients(image, kernel, above)
    return right[0], right[1][::-1, ::-1], right[2]


def _overwritten(
    image: np.ndarray, kernel: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    rows, columns = kernel.shape
    right = conv2d_gradients(image, kernel, above)
    for_image = np.zeros(image.shape)
    for y in range(above.shape[0]):
        for x in range(above.shape[1]):
            for_image[y : y + rows, x : x + columns] = above[y, x] * kernel
    return for_image, right[1], right[2]


def _means(image: np.ndarray, kernel: np.ndarray, above: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    right = conv2d_gradients(image, kernel, above)
    return right[0], right[1] / above.size, right[2] / above.size


def _bias_mean(
    image: np.ndarray, kernel: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    right = conv2d_gradients(image, kernel, above)
    return right[0], right[1], right[2] / above.size


def _exchanged(
    image: np.ndarray, kernel: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    right = conv2d_gradients(image, kernel, above)
    return right[1], right[0], right[2]


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    sizes = [(1, 2, 1, 1), (1, 3, 1, 2), (2, 2, 2, 2), (3, 3, 2, 2), (4, 5, 3, 2), (6, 6, 3, 3)]
    cases: list[Arguments] = []
    for h, w, rows, columns in sizes:
        shapes = ((h, w), (rows, columns), (h - rows + 1, w - columns + 1))
        cases.append(tuple(chance.integers(1, 6, shape).astype(float) for shape in shapes))
    return cases


EXERCISE = Exercise(
    title="Back through a convolution",
    chapter="backpropagation",
    task="Each value of the output is patch x kernel + bias. So each pixel and each weight has a part in several "
    "values, and its gradient is a sum over them, which is a convolution again.",
    solution=conv2d_gradients,
    cases=_cases,
    misconceptions=(
        Misconception(
            "not_flipped",
            "In your gradient for the image the kernel lies the wrong way round. A pixel at the top left of a patch "
            "met the weight at the top left. If you slide a kernel over the gradient from above, with zeros around "
            "it, that kernel is flipped; if you add above x kernel to each patch, it is not.",
            _not_flipped,
        ),
        Misconception(
            "kernel_flipped",
            "Your gradient for the kernel is flipped. Weight [0, 0] met the pixel at the top left of each patch.",
            _kernel_flipped,
        ),
        Misconception(
            "overwritten",
            "Where patches overlap, your later ones overwrite the earlier ones. A pixel has a part in several values, "
            "so its gradient is a sum: += instead of =.",
            _overwritten,
        ),
        Misconception(
            "means",
            "You take means over the places. The gradients for kernel and bias are sums over them.",
            _means,
        ),
        Misconception(
            "bias_mean",
            "Your gradient for the bias is a mean. The bias is added at every place, so its gradient is the sum.",
            _bias_mean,
        ),
        Misconception(
            "exchanged",
            "You return them in another order: first the gradient for the image, then that for the kernel, then that "
            "for the bias.",
            _exchanged,
        ),
    ),
    hints=(
        "Loop over the places of the output, as on the way forward, and ask who had a part in this value.",
        "The value at (y, x) grows by kernel[i, j] when pixel (y + i, x + j) grows by 1, and by that pixel when the "
        "weight grows by 1.",
        "for_image[y : y + rows, x : x + columns] += above[y, x] * kernel",
    ),
)
