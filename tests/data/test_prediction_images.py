"""Which shapes and numbers are pictures, when somebody hands them over to be classified."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conviction.data import DecodingRule
from conviction.data.prediction_images import check_decoded, pixels_to_predict
from conviction.errors import RequestError

GRAY = DecodingRule(color_mode="grayscale", height=32, width=28)
RGB = DecodingRule(color_mode="rgb", height=32, width=28)
RULES = {"gray": GRAY, "rgb": RGB}

# What each shape gives: how many answers, or a part of why it is refused.
SHAPES: list[tuple[tuple[int, ...], int | str, int | str]] = [
    ((), "shape ()", "shape ()"),
    ((784,), "shape (784,)", "shape (784,)"),
    ((32, 28), 1, "Wrap it in a list"),
    ((28, 32), "Wrap it in a list", "Wrap it in a list"),
    ((10, 784), "Wrap it in a list", "Wrap it in a list"),
    ((32, 28, 1), 1, "32 gray ones 1 pixels wide"),
    ((32, 28, 3), "32 gray ones 3 pixels wide", 1),
    ((32, 28, 4), "wrap it in a list", "wrap it in a list"),
    ((40, 50, 3), "wrap it in a list", "wrap it in a list"),
    ((7, 32, 28), 7, "x[..., numpy.newaxis]"),
    ((7, 90, 80), 7, "x[..., numpy.newaxis]"),
    ((1, 32, 28), 1, "numpy.moveaxis(x, 0, -1)"),
    ((3, 32, 28), 3, "numpy.moveaxis(x, 0, -1)"),
    ((5, 32, 28, 1), 5, 5),
    ((5, 32, 28, 3), 5, 5),
    ((5, 90, 80, 4), 5, 5),
    ((0, 32, 28, 3), 0, 0),
    ((5, 32, 28, 2), "shape (5, 32, 28, 2)", "shape (5, 32, 28, 2)"),
    ((5, 1, 32, 28), "numpy.moveaxis(x, 1, -1)", "numpy.moveaxis(x, 1, -1)"),
    ((5, 3, 32, 28), "numpy.moveaxis(x, 1, -1)", "numpy.moveaxis(x, 1, -1)"),
    ((5, 32, 0, 3), "no pixels", "no pixels"),
    ((1, 5, 32, 28, 3), "shape (1, 5, 32, 28, 3)", "shape (1, 5, 32, 28, 3)"),
]


def answers(images: Any, rule: DecodingRule) -> int | str:
    try:
        pixels = pixels_to_predict(images, rule)
    except RequestError as failure:
        return str(failure)
    assert pixels.dtype == np.uint8
    assert pixels.shape[1:] == rule.shape
    return len(pixels)


@pytest.mark.parametrize(("shape", "gray", "rgb"), SHAPES)
def test_a_shape_has_one_meaning_or_is_refused(shape: tuple, gray: int | str, rgb: int | str) -> None:
    for rule, want in ((GRAY, gray), (RGB, rgb)):
        for dtype in (np.uint8, np.float64):
            got = answers(np.zeros(shape, dtype), rule)
            if isinstance(want, int):
                assert got == want
            else:
                assert want in str(got)
                size = f"(32, 28, {rule.channels})"
                assert size in str(got)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_shape_of_few_axes_gives_more_answers_than_pictures(rule: DecodingRule) -> None:
    """Sides from a list that holds every coincidence: of channels, of the model's sides, of neither."""
    for axes in range(6):
        for shape in itertools.product((1, 2, 3, 4, 28, 32), repeat=axes):
            got = answers(np.zeros(shape, np.uint8), rule)
            if not isinstance(got, int):
                continue
            one = shape in (rule.shape, rule.shape[:2])
            assert got == (1 if one else shape[0])
            assert one or axes == 4 or (axes == 3 and rule is GRAY)


def test_one_picture_has_the_answer_that_it_has_in_a_list() -> None:
    rng = np.random.default_rng(0)
    for rule in RULES.values():
        one = rng.integers(0, 256, rule.shape, np.uint8)
        same = [one, one[None], [one], (one,), iter([one]), [one.tolist()]]
        same += [one[..., 0], [one[..., 0]], [one[..., 0].tolist()]] if rule is GRAY else []
        assert all(np.array_equal(pixels_to_predict(s, rule), one[None]) for s in same)
        moved = np.moveaxis(one, -1, 0)
        assert "moveaxis(x, 0, -1)" in str(answers([moved], rule))


def test_the_smallest_network_is_not_taken_for_channels() -> None:
    tiny = DecodingRule(color_mode="grayscale", height=4, width=4)
    assert [answers(np.zeros(s), tiny) for s in ((4, 4), (6, 4, 4), (6, 4, 4, 1), (4, 4, 1))] == [1, 6, 6, 1]
    assert answers([np.zeros((4, 4))], tiny) == 1
    colour = DecodingRule(color_mode="rgb", height=4, width=4)
    assert "moveaxis" in str(answers(np.zeros((6, 3, 4, 4)), colour))


@pytest.mark.parametrize(
    ("images", "part"),
    [
        (np.zeros((32, 28, 3)).tolist(), "give it as an array"),  # 32 rows
        (list(np.zeros((32, 28, 3))), "give it as an array"),
        ([np.zeros(5)], "image 0 to be"),
        ([[[1, 2], [3]]], "image 0 cannot become an array"),
        ("a.png", "PIL.Image.open"),
        ({"x": 1}, "got dict"),
        (None, "NoneType"),
        (7, "got int"),
        (np.zeros((2, 32, 28, 3), complex), "the type complex128"),
        (np.full((2, 32, 28, 3), "a"), "the type <U1"),
        (np.full((2, 32, 28, 3), np.nan), "from nan"),
    ],
)
def test_what_is_no_picture_is_named(images: Any, part: str) -> None:
    assert part in str(answers(images, RGB))


def test_sizes_and_kinds_may_differ_in_a_sequence() -> None:
    several = np.empty(2, object)
    several[:] = [np.zeros((9, 9, 3), np.uint8), np.zeros((70, 8), np.uint8)]
    assert answers(several, RGB) == 2
    assert answers([*several, Image.new("L", (9, 9)), np.zeros((9, 9), bool)], RGB) == 4
    assert answers([], RGB) == 0


def learned(kind: str | None, scale: tuple[float, float] | None, files: Any = None) -> DecodingRule:
    update = {"array_type": kind, "array_range": scale, "file_range": files}
    return GRAY.model_copy(update=update)


FILES = learned(None, None)
MASKS = learned("uint8", (0.0, 1.0))
SIGNED = learned("float", (-1.0, 1.0))
DIGITS = learned("float", (0.0, 16.0))
TWELVE = learned("uint16", (0.0, 4095.0), (0.0, 4095.0))


@pytest.mark.parametrize(
    ("rule", "dtype", "values", "want"),
    [
        (FILES, np.uint8, (0, 200), (0, 200)),
        (FILES, np.uint16, (0, 65535), (0, 255)),
        (FILES, np.int32, (0, 200), (0, 200)),
        (FILES, np.float32, (0.0, 0.5), (0, 128)),
        (FILES, np.float32, (0.0, 200.0), (0, 200)),
        (FILES, np.float32, (0.0, 200.5), "from 0 to 200.5"),
        (FILES, np.int32, (-1, 5), "from -1 to 5"),
        (FILES, np.int32, (0, 300), "from 0 to 300"),
        (FILES, np.uint16, (0, 255), "astype(numpy.uint8)"),
        (FILES, np.int64, (0, 1), "astype(bool)"),
        (MASKS, np.uint8, (0, 1), (0, 255)),
        (MASKS, np.int64, (0, 1), (0, 255)),
        (MASKS, np.uint8, (0, 255), "to 1 (white), as in training"),
        (SIGNED, np.float64, (-1.0, 0.0), (0, 128)),
        (SIGNED, np.uint8, (0, 255), (0, 255)),
        (DIGITS, np.float64, (0.0, 16.0), (0, 255)),
        (DIGITS, np.float32, (0.0, 1.0), (0, 16)),
        (DIGITS, np.float32, (0.5, 1.0), "If 1 is white in them, multiply them by 16."),
        (DIGITS, np.uint8, (0, 16), (0, 255)),
        (DIGITS, np.uint8, (0, 255), "to 16 (white), as in training"),
        (TWELVE, np.uint16, (0, 4095), (0, 255)),
        (TWELVE, np.int32, (0, 4095), (0, 255)),
        (TWELVE, np.uint8, (0, 200), (0, 200)),
        (TWELVE, np.uint16, (0, 4096), "to 4095 (white)"),
        (learned(None, None, (0.0, 4095.0)), np.uint16, (0, 4095), (0, 255)),
        (learned("float", (0.0, 255.0)), np.float64, (0.0, 1.0), "to 255 (white)"),
        (learned("float", (0.0, 1.0)), np.uint8, (0, 200), (0, 200)),
    ],
)
def test_a_number_means_what_it_meant_in_training(
    rule: DecodingRule, dtype: Any, values: tuple[float, float], want: tuple[int, int] | str
) -> None:
    image = np.zeros((1, 32, 28), dtype)
    image[:, :16], image[:, 16:] = values
    if isinstance(want, str):
        with pytest.raises(RequestError, match=re.escape(want)):
            pixels_to_predict(image, rule)
    else:
        got = pixels_to_predict(image, rule)
        assert (got[0, 0, 0, 0], got[0, -1, 0, 0]) == want


def test_masks_as_uint8_are_black_pictures_and_that_is_said() -> None:
    with pytest.warns(UserWarning, match=r"every picture is black.*astype\(bool\)"):
        pixels_to_predict(np.ones((1, 32, 28), np.uint8), FILES)


def test_decoded_pixels_have_one_shape() -> None:
    check_decoded(np.zeros((0, *RGB.shape), np.uint8), RGB)
    for wrong in (
        np.zeros(RGB.shape, np.uint8),
        np.zeros((2, *RGB.shape)),
        np.zeros((2, *GRAY.shape), np.uint8),
    ):
        with pytest.raises(RequestError, match=r"expected uint8 of shape \(n, 32, 28, 3\)"):
            check_decoded(wrong, RGB)
