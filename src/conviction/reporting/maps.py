"""Maps of numbers as pictures: signed values and kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conviction.explanation import LayerOutput

# A layer with more of them shows the first; all would make the page long without saying more.
CHANNELS_SHOWN = 16
UNITS_SHOWN = 256
UNITS_PER_ROW = 32

# The page's own blue and orange, which people who confuse red and green can distinguish.
ABOVE, BELOW = np.array([31.0, 95.0, 168.0]), np.array([180.0, 84.0, 26.0])


@dataclass(frozen=True)
class LayerMaps:
    """A layer's output as pictures.

    Attributes:
        name: Of the layer.
        kind: Its type.
        shape: Of the output, in words.
        note: What is left out, if anything, and the scale.
        maps: (channel, (rows, columns, 3) uint8) of each channel shown; a vector is one picture, with None.
    """

    name: str
    kind: str
    shape: str
    note: str
    maps: tuple[tuple[int | None, np.ndarray], ...]


def layer_maps(layer: LayerOutput) -> LayerMaps:
    """The first channels of a layer, or the first units in rows, all on one scale."""
    output = layer.output
    scale = float(np.abs(output).max())
    shape = "x".join(map(str, output.shape))
    maps: tuple[tuple[int | None, np.ndarray], ...]
    if output.ndim == 3:
        count = min(output.shape[2], CHANNELS_SHOWN)
        maps = tuple((i, signed(output[:, :, i], scale)) for i in range(count))
        few = f"The first {count} of {output.shape[2]} channels. " if count < output.shape[2] else ""
    else:
        count = min(len(output), UNITS_SHOWN)
        few = f"The first {count} of {len(output):,} values. " if count < len(output) else ""
        maps = ((None, signed(_rows(output[:count]), scale)),)
    return LayerMaps(
        layer.name,
        layer.kind,
        shape,
        f"{few}From {output.min():.3g} to {output.max():.3g}; the strongest colour is {scale:.3g}.",
        maps,
    )


def kernel_maps(kernels: np.ndarray) -> list[np.ndarray]:
    """The first filters as pictures.

    Args:
        kernels: (rows, columns, input channels, filters).

    Returns:
        (rows, columns, 3) uint8 each. Of three input channels they are the colour itself, gray for 0; otherwise signed
        weights, the mean over the input channels if there are several.
    """
    scale = float(np.abs(kernels).max()) or 1.0
    few = np.moveaxis(kernels, -1, 0)[
        : 2 * CHANNELS_SHOWN
    ]  # (rows, columns, c, filters) -> (filters, rows, columns, c)
    if kernels.shape[2] == 3:
        return [_bytes(127.5 + 127.5 * kernel / scale) for kernel in few]
    return [signed(kernel.mean(axis=2), scale) for kernel in few]


def signed(values: np.ndarray, scale: float) -> np.ndarray:
    """White for 0, blue up to ``scale``, orange down to ``-scale``: (h, w) -> (h, w, 3) uint8."""
    share = np.clip(values / (scale or 1.0), -1.0, 1.0)[..., np.newaxis]
    strongest = np.where(share > 0, ABOVE, BELOW)
    return _bytes(255.0 + np.abs(share) * (strongest - 255.0))


def strongest(gradient: np.ndarray) -> np.ndarray:
    """The size of a gradient, (h, w) -> (h, w, 3) uint8: white for 0, full blue for the strongest 1% of pixels."""
    return signed(gradient, float(np.quantile(gradient, 0.99)) or float(gradient.max()))


def _rows(values: np.ndarray) -> np.ndarray:
    """A vector in rows of 32; the last row is filled up with zeros."""
    width = min(len(values), UNITS_PER_ROW)
    rows = np.zeros(-(-len(values) // width) * width, np.float32)
    rows[: len(values)] = values
    return rows.reshape(-1, width)  # (units,) -> (rows, 32)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
