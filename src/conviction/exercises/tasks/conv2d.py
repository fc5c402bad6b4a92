"""A convolution by hand, as Keras's Conv2D computes it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def conv2d(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str) -> np.ndarray:
    """Slides each filter over an image and sums the products, as Keras's Conv2D does.

    Args:
        image: (height, width, channels).
        kernel: (rows, columns, channels, filters).
        bias: (filters,), added to each map.
        strides: By how many pixels the window moves, both ways.
        padding: "valid": the window stays inside. "same": with zeros around the image, so that ceil(side / strides)
            windows fit; of an odd number of zeros, the extra one is at the bottom and at the right.

    Returns:
        (new height, new width, filters).

    >>> image = np.arange(9.0).reshape(3, 3, 1)
    >>> conv2d(image, np.ones((2, 2, 1, 1)), np.zeros(1), 1, "valid")[:, :, 0].tolist()
    [[8.0, 12.0], [20.0, 24.0]]
    """
    rows, columns = kernel.shape[:2]
    if padding == "same":
        zeros = []
        for side, window in zip(image.shape[:2], (rows, columns), strict=True):
            count = max(0, (-(-side // strides) - 1) * strides + window - side)
            zeros.append((count // 2, count - count // 2))
        image = np.pad(image, (*zeros, (0, 0)))
    height = (image.shape[0] - rows) // strides + 1
    width = (image.shape[1] - columns) // strides + 1
    out = np.zeros((height, width, kernel.shape[3]))
    for y in range(height):
        for x in range(width):
            patch = image[y * strides : y * strides + rows, x * strides : x * strides + columns]
            out[y, x] = np.tensordot(patch, kernel, 3) + bias
    return out


def _zeros(image: np.ndarray, kernel: np.ndarray, strides: int) -> list[int]:
    """How many rows and columns of zeros 'same' adds."""
    sides = zip(image.shape[:2], kernel.shape[:2], strict=True)
    return [max(0, (-(-side // strides) - 1) * strides + window - side) for side, window in sides]


def _padded_on_one_side(before: bool) -> Callable[..., np.ndarray]:
    """Wrong solutions with all zeros before, or all of them after."""

    def wrong(
        image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
    ) -> np.ndarray:
        if padding == "same":
            counts = _zeros(image, kernel, strides)
            image = np.pad(image, (*((n, 0) if before else (0, n) for n in counts), (0, 0)))
        return conv2d(image, kernel, bias, strides, "valid")

    return wrong


def _padded_evenly(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
) -> np.ndarray:
    if padding == "same":
        image = np.pad(image, (*((window // 2, window // 2) for window in kernel.shape[:2]), (0, 0)))
    return conv2d(image, kernel, bias, strides, "valid")


def _window_stays(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
) -> np.ndarray:
    height, width = conv2d(image, kernel, bias, strides, padding).shape[:2]
    return conv2d(image, kernel, bias, 1, padding)[:height, :width]


def _padded_for_one(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
) -> np.ndarray:
    if padding == "same":
        zeros = [((window - 1) // 2, window // 2) for window in kernel.shape[:2]]
        image = np.pad(image, (*zeros, (0, 0)))
    return conv2d(image, kernel, bias, strides, "valid")


def _extra_first(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
) -> np.ndarray:
    if padding == "same":
        counts = _zeros(image, kernel, strides)
        image = np.pad(image, (*((n - n // 2, n // 2) for n in counts), (0, 0)))
    return conv2d(image, kernel, bias, strides, "valid")


def _one_channel(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
) -> np.ndarray:
    return conv2d(image[:, :, :1], kernel[:, :, :1], bias, strides, padding)


def _bias_of_each_channel(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
) -> np.ndarray:
    return conv2d(image, kernel, bias * image.shape[2], strides, padding)


def _bias_of_each_product(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: int, padding: str
) -> np.ndarray:
    return conv2d(image, kernel, bias * float(np.prod(kernel.shape[:3])), strides, padding)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(2)
    sizes = [
        # height, width, channels, rows, columns, filters, bias, strides, padding
        (2, 2, 1, 2, 2, 1, 0, 1, "valid"),
        (2, 2, 1, 1, 1, 1, 1, 1, "valid"),
        (2, 2, 2, 1, 1, 1, 0, 1, "valid"),
        (2, 2, 2, 1, 1, 1, 1, 1, "valid"),
        (3, 3, 1, 2, 2, 1, 1, 1, "valid"),
        (3, 3, 1, 1, 1, 1, 0, 2, "valid"),
        (2, 2, 1, 3, 3, 1, 0, 1, "same"),
        (2, 2, 1, 2, 2, 1, 0, 1, "same"),
        (4, 1, 1, 3, 1, 1, 0, 2, "same"),
        (4, 4, 1, 3, 3, 1, 0, 2, "same"),
        (3, 4, 2, 2, 3, 2, 1, 1, "valid"),
        (5, 4, 2, 3, 2, 3, 1, 2, "same"),
        (7, 6, 3, 3, 3, 4, 1, 2, "valid"),
        (6, 9, 1, 5, 3, 2, 1, 3, "same"),
    ]
    cases: list[Arguments] = []
    for h, w, c, rows, columns, filters, biased, strides, padding in sizes:
        image, kernel = chance.integers(1, 10, (h, w, c)), chance.integers(-3, 4, (rows, columns, c, filters))
        bias = chance.integers(1, 6, filters) * biased
        cases.append((image.astype(float), kernel.astype(float), bias.astype(float), strides, padding))
    return cases


EXERCISE = Exercise(
    title="Convolution, by hand",
    chapter="architecture",
    task="The heart of the network: patch x kernel + bias, at every place.",
    solution=conv2d,
    cases=_cases,
    misconceptions=(
        Misconception(
            "flipped",
            "You flipped the kernel. Mathematicians call that a convolution, but Conv2D lays the kernel on the patch "
            "as it is: its first row on the first row.",
            lambda image, kernel, bias, strides, padding: conv2d(
                image, kernel[::-1, ::-1], bias, strides, padding
            ),
        ),
        Misconception(
            "transposed",
            "Rows and columns of your kernel are exchanged: kernel[y, x] belongs to the pixel in row y and column x of "
            "the patch.",
            lambda image, kernel, bias, strides, padding: (
                conv2d(image, kernel.transpose(1, 0, 2, 3), bias, strides, padding)
                if kernel.shape[0] == kernel.shape[1]
                else None
            ),
        ),
        Misconception(
            "no_bias",
            "You forgot the bias. It is added once to each value of its map.",
            lambda image, kernel, bias, strides, padding: conv2d(image, kernel, 0 * bias, strides, padding),
        ),
        Misconception(
            "bias_of_each_channel",
            "You add the bias once for each channel of the image. It is added once, after the sum over the channels.",
            _bias_of_each_channel,
        ),
        Misconception(
            "bias_of_each_product",
            "You add the bias to every product, so it counts as often as the kernel has weights. Add it once, after "
            "the sum.",
            _bias_of_each_product,
        ),
        Misconception(
            "one_channel",
            "You look at the first channel alone. A kernel reaches through all channels, and all products are summed.",
            _one_channel,
        ),
        Misconception(
            "no_stride",
            "Your window always moves by one pixel. With strides=2 it moves by two.",
            lambda image, kernel, bias, strides, padding: conv2d(image, kernel, bias, 1, padding),
            also=(_window_stays,),
        ),
        Misconception(
            "no_padding",
            "You ignore padding='same': zeros have to be put around the image first.",
            lambda image, kernel, bias, strides, padding: conv2d(image, kernel, bias, strides, "valid"),
        ),
        Misconception(
            "padded_on_one_side",
            "Your padding is on one side only. Half of the zeros belong above and at the left, the other half below "
            "and at the right.",
            _padded_on_one_side(before=False),
            also=(_padded_on_one_side(before=True),),
        ),
        Misconception(
            "extra_first",
            "Of an odd number of zeros you put the extra one at the top and at the left. Keras puts it at the bottom "
            "and at the right.",
            _extra_first,
        ),
        Misconception(
            "padded_for_one",
            "You pad with window - 1 zeros, which is right without strides. With strides fewer are needed: as many "
            "as make ceil(side / strides) windows fit.",
            _padded_for_one,
        ),
        Misconception(
            "padded_evenly",
            "You put kernel // 2 zeros on every side. That is 'same' only for odd kernels without strides. Keras "
            "adds as few zeros as make ceil(side / strides) windows fit, and an odd one at the bottom and at the "
            "right.",
            _padded_evenly,
        ),
    ),
    hints=(
        "Two loops are enough: over the rows and over the columns of the output.",
        "The patch is image[y * strides : y * strides + rows, x * strides : x * strides + columns]. Multiplied with "
        "kernel[..., f] and summed, it gives the value of filter f.",
        "For 'same', the zeros of a side are max(0, (ceil(side / strides) - 1) * strides + window - side): half of "
        "them before, rounded down, the rest after. np.pad adds them.",
    ),
)
