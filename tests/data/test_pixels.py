"""What a number means as a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conviction.data import load_source
from conviction.data.pixels import to_uint8, value_range, with_channels
from conviction.errors import SourceError


def convert(array: np.ndarray, given_range: tuple[float, float] | None = None) -> np.ndarray:
    stored, _ = value_range([array], given_range, "test")
    return to_uint8(array, stored)


@pytest.mark.parametrize(
    ("array", "want"),
    [
        (np.array([0, 7, 255], np.uint8), [0, 7, 255]),
        (np.array([0, 1], np.uint8), [0, 1]),  # uint8 is never stretched: dark images exist
        (np.array([False, True]), [0, 255]),
        (np.array([0, 257, 65535], np.uint16), [0, 1, 255]),
        (np.array([0.0, 0.5, 1.0], np.float32), [0, 128, 255]),
        (np.array([0.0, 3.0, 255.0]), [0, 3, 255]),
        (np.array([0, 3, 255], np.int64), [0, 3, 255]),
    ],
)
def test_the_accepted_scales(array: np.ndarray, want: list[int]) -> None:
    got = convert(array)
    assert got.dtype == np.uint8
    assert got.tolist() == want


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, np.inf]), "NaN or infinity"),
        (np.array([-1.0, 1.0]), r"data\.range=\[-1,1\]"),
        (np.array([0.0, 254.5]), "from 0 to 254.5"),
        (np.array([0, 256]), "from 0 to 256"),
        (np.array([-5, 3]), "from -5 to 3"),
        (np.array(["a"]), "numbers as pixels"),
        (np.array([1 + 2j]), "numbers as pixels"),
    ],
)
def test_other_scales_are_refused_and_the_way_out_is_named(array: np.ndarray, part: str) -> None:
    with pytest.raises(SourceError, match=part):
        convert(array)


def test_a_given_range_decides_and_is_held_to() -> None:
    assert convert(np.array([-1.0, 0.0, 1.0]), (-1.0, 1.0)).tolist() == [0, 128, 255]
    assert convert(np.array([0, 4095], np.uint16), (0.0, 4095.0)).tolist() == [0, 255]
    with pytest.raises(SourceError, match="go from 0 to 5000"):
        convert(np.array([0, 5000]), (0.0, 4095.0))


def test_all_parts_of_a_source_share_one_scale() -> None:
    stored, _ = value_range([np.array([0.0, 1.0]), np.array([0.0, 200.0])], None, "test")
    assert stored == (0.0, 255.0)


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1)))
def test_scaling_is_monotonic_and_within_half_a_step(array: np.ndarray) -> None:
    got = to_uint8(array, (0.0, 1.0)).astype(float)
    assert np.abs(got - array * 255).max() <= 0.5
    assert (np.diff(got[np.argsort(array)]) >= 0).all()


def test_digits_use_their_full_range() -> None:
    from sklearn.datasets import load_digits

    images = load_source("digits")
    assert images.pixels.min() == 0
    assert images.pixels.max() == 255
    assert images.rule.array_range == (0.0, 16.0)
    assert images.labels.tolist() == load_digits().target.tolist()


@pytest.mark.parametrize(
    ("shape", "want"), [((4, 8, 8), (4, 8, 8, 1)), ((4, 8, 8, 1), (4, 8, 8, 1)), ((4, 8, 8, 3), (4, 8, 8, 3))]
)
def test_images_get_their_channel_axis(shape: tuple, want: tuple) -> None:
    assert with_channels(np.zeros(shape), "x").shape == want


@pytest.mark.parametrize("shape", [(4,), (4, 8), (4, 8, 8, 2), (4, 8, 8, 8, 3), (4, 3, 8, 8)])
def test_other_shapes_are_refused(shape: tuple) -> None:
    with pytest.raises(SourceError, match=r"\(n, height, width\)") as caught:
        with_channels(np.zeros(shape), "x")
    assert ("channels seem to come first" in str(caught.value)) == (shape == (4, 3, 8, 8))
