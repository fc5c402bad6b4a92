"""Load: the format in which MNIST and Fashion-MNIST are kept, read by hand."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def load_idx(content: bytes) -> np.ndarray:
    """Reads images or labels from the content of an IDX file.

    An IDX file begins with four bytes: 0, 0, the kind of the values (8: one byte each, from 0 to 255) and the number
    of axes. Then comes the length of each axis, four bytes each, the most significant byte first (big-endian). The
    rest are the values, the last axis fastest.

    Args:
        content: All bytes of the file.

    Returns:
        A uint8 array: (n, height, width) for a file with three axes, (n,) for one with a single axis.

    >>> load_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 9])).tolist()
    [7, 2, 9]
    """
    axes = content[3]
    lengths = np.frombuffer(content, ">u4", count=axes, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    return values.reshape([int(n) for n in lengths])


def _header_of_images(content: bytes) -> np.ndarray:
    if content[3] == 3:
        return load_idx(content)
    return np.frombuffer(content, np.uint8, offset=16)


def _sliced(content: bytes) -> np.ndarray:
    return load_idx(content) if content[3] == 3 else np.frombuffer(content[16:], np.uint8)


def _little_endian(content: bytes) -> np.ndarray:
    axes = content[3]
    lengths = np.frombuffer(content, "<u4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape([int(n) for n in lengths])


def _columns_first(content: bytes) -> np.ndarray:
    right = load_idx(content)
    return right.ravel().reshape(right.shape, order="F")


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    shapes = [(2,), (1, 2, 3), (2, 2, 2), (9,), (3, 4, 5), (260, 1, 2), (300,)]
    cases = []
    for shape in shapes:
        header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
        cases.append((header + chance.integers(0, 256, int(np.prod(shape)), np.uint8).tobytes(),))
    return cases


EXERCISE = Exercise(
    title="Load images by hand",
    chapter="data",
    task="Every loader begins with bytes. Read those of an IDX file, the format of MNIST and Fashion-MNIST.",
    solution=load_idx,
    cases=_cases,
    misconceptions=(
        Misconception(
            "signed",
            "You read the values as signed bytes, so everything above 127 is negative. Pixels are unsigned: uint8.",
            lambda content: load_idx(content).astype(np.int8),
        ),
        Misconception(
            "columns_first",
            "You filled the array column by column. In the file the last axis changes fastest, which is the default "
            "of reshape.",
            _columns_first,
        ),
        Misconception(
            "header_of_images",
            "You always skip 16 bytes. That is right for images, whose header has three lengths; a file of labels has "
            "one length, and its values begin at byte 8. The fourth byte says how many there are.",
            _header_of_images,
            also=(_sliced,),
        ),
        Misconception(
            "little_endian",
            "You read the lengths with the least significant byte first, so 2 becomes 33,554,432. IDX files are "
            "big-endian: '>u4'.",
            _little_endian,
        ),
        Misconception(
            "flat",
            "You return the values in one long row. Give them the shape that the header says.",
            lambda content: load_idx(content).ravel(),
        ),
        Misconception(
            "header_kept",
            "You return the header as well. The values begin after the lengths, at byte 4 + 4 x axes.",
            lambda content: np.frombuffer(content, np.uint8),
        ),
    ),
    hints=(
        "content[3] is an integer: the number of axes. Where do the values begin?",
        "np.frombuffer(content, '>u4', count=axes, offset=4) reads the lengths: > is big-endian, u4 four unsigned "
        "bytes.",
        "Read the values with np.frombuffer(content, np.uint8, offset=4 + 4 * axes), then reshape them.",
    ),
)
