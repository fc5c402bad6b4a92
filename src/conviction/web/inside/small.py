"""Maps of numbers as small integers, as the page draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conviction.web.inside.view import row_width

# A small map has at most this side; larger ones are thinned out.
SMALL = 40
OVERVIEW_CHANNELS = 8
STRIP_CHANNELS = 256
OVERVIEW_UNITS = 256


@dataclass(frozen=True)
class Small:
    """Maps to be looked at: int8 (count, rows, columns), -127 to 127 for minus to plus the layer's largest value."""

    maps: np.ndarray


def first_maps(output: np.ndarray) -> Small:
    """Of a layer's output the first channels, or units."""
    if output.ndim == 3:
        return small(np.moveaxis(output, -1, 0)[:OVERVIEW_CHANNELS], output)
    return small(in_rows(output[:OVERVIEW_UNITS])[np.newaxis], output)


def small(maps: np.ndarray, whole: np.ndarray) -> Small:
    """(count, rows, columns) of any size, thinned out and scaled to int8."""
    step = -(-max(maps.shape[1:]) // SMALL)
    return Small(scaled(maps[:, ::step, ::step], float(np.abs(whole).max())))


def scaled(values: np.ndarray, scale: float) -> np.ndarray:
    """Values from ``-scale`` to ``scale`` as int8 from -127 to 127."""
    return np.rint(np.clip(values / (scale or 1.0), -1, 1) * 127).astype(np.int8)


def in_rows(values: np.ndarray) -> np.ndarray:
    """A vector in rows, the last filled up with zeros: (units,) -> (rows, ``row_width``)."""
    width = row_width(len(values))
    rows = np.zeros(-(-len(values) // width) * width, np.float32)
    rows[: len(values)] = values
    return rows.reshape(-1, width)
