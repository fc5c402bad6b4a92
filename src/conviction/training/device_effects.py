"""The effects of augmentations as JAX computes them on its device, from the draws that NumPy makes.

Each is the function of the same name in ``training/augmentations``. Moving by whole pixels, mirroring, and filling a
square give the same bits; what computes with fractions may differ by a gray level, because that is float64 there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conviction.config import AugmentationSpec
from conviction.training.augment import applied_augmentations

# Arrays of JAX.
Array = Any


def vary_on_device(
    pixels: Array, targets: Array, spec: AugmentationSpec, draws: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Varies one batch as ``augment`` does.

    Args:
        pixels: (n, h, w, c) uint8.
        targets: (n, k) float32.
        spec: What to do.
        draws: From ``draw``, for this batch.

    Returns:
        (n, h, w, c) uint8 and (n, k) float32.
    """
    for one in applied_augmentations(spec):
        taken = [draws[key] for key in one.takes]
        effect = EFFECTS[one.effect.__name__]
        if one.mixes:
            pixels, targets = effect(pixels, targets, *taken)
        else:
            pixels = effect(pixels, *taken)
    return pixels, targets


def flip(pixels: Array, flips: Array) -> Array:
    """See there."""
    import jax.numpy as jnp

    upside, mirrored = (flips[:, axis, None, None, None] for axis in range(2))
    pixels = jnp.where(upside, pixels[:, ::-1], pixels)
    return jnp.where(mirrored, pixels[:, :, ::-1], pixels)


def shift(pixels: Array, shifts: Array) -> Array:
    """See there."""
    import jax.numpy as jnp

    _, height, width, _ = pixels.shape
    rows = _reflected(jnp.arange(height) - shifts[:, :1], height)  # (n, h)
    columns = _reflected(jnp.arange(width) - shifts[:, 1:], width)  # (n, w)
    pixels = jnp.take_along_axis(pixels, rows[:, :, None, None], axis=1)
    return jnp.take_along_axis(pixels, columns[:, None, :, None], axis=2)


def _reflected(index: Array, side: int) -> Array:
    """Whole positions on a line, reflected about its outermost pixels, as often as it takes."""
    import jax.numpy as jnp

    period = max(1, 2 * (side - 1))
    index = jnp.abs(index) % period
    return jnp.minimum(index, period - index)


def move(pixels: Array, shifts: Array, angles: Array, zooms: Array) -> Array:
    """See there."""
    import jax
    import jax.numpy as jnp

    _, height, width, _ = pixels.shape
    radians = jnp.deg2rad(angles)
    cosine, sine = jnp.cos(radians) / zooms, jnp.sin(radians) / zooms
    matrices = jnp.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)  # (n, 4) -> (n, 2, 2)
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2])
    offsets = centre - jnp.einsum("nij,nj->ni", matrices, centre + shifts, precision="highest")

    def along(axis: int, side: int) -> Array:
        down, right, start = (v[:, None, None] for v in (*matrices[:, axis].T, offsets[:, axis]))
        places = down * jnp.arange(height)[:, None] + start + right * jnp.arange(width)  # (n, h, w)
        period = max(1, 2 * (side - 1))
        return jnp.minimum(jnp.abs(places - jnp.rint(places / period) * period), side - 1)

    y, x = along(0, height), along(1, width)

    def one_channel(plane: Array, y: Array, x: Array) -> Array:
        return jax.scipy.ndimage.map_coordinates(plane.astype(jnp.float32), [y, x], order=1, mode="nearest")

    of_image = jax.vmap(one_channel, in_axes=(2, None, None), out_axes=2)
    return jnp.rint(jax.vmap(of_image)(pixels, y, x)).astype(jnp.uint8)


def tone(pixels: Array, gains: Array, biases: Array) -> Array:
    """See there."""
    import jax.numpy as jnp

    flat = pixels.reshape(len(pixels), -1)  # (n, h, w, c) -> (n, h*w*c)
    means = flat.sum(axis=1, dtype=jnp.uint32) / flat.shape[1]
    levels = (means * (1 - gains) + biases)[:, None]
    values = jnp.rint(flat * gains[:, None].astype(jnp.float32) + levels)
    return jnp.clip(values, 0, 255).astype(jnp.uint8).reshape(pixels.shape)


def cutout(pixels: Array, squares: Array) -> Array:
    """See there."""
    import jax.numpy as jnp

    _, height, width, _ = pixels.shape
    means = jnp.rint(pixels.sum(axis=(1, 2), dtype=jnp.uint32) / (height * width)).astype(jnp.uint8)  # (n, c)
    top, left, side = (squares[:, i, None] for i in range(3))
    top, left = top - side // 2, left - side // 2
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside_rows = (rows >= top) & (rows < top + side)  # (n, h)
    inside_columns = (columns >= left) & (columns < left + side)  # (n, w)
    inside = inside_rows[:, :, None, None] & inside_columns[:, None, :, None]
    return jnp.where(inside, means[:, None, None, :], pixels)


def mixup(pixels: Array, targets: Array, mixing: Array) -> tuple[Array, Array]:
    """See there."""
    import jax.numpy as jnp

    rest, partners = (1 - mixing[:, 0]).astype(jnp.float32), mixing[:, 1].astype(jnp.int32)
    values = pixels.astype(jnp.float32)
    values += rest[:, None, None, None] * (values[partners] - values)
    mixed = targets + rest[:, None] * (targets[partners] - targets)
    return jnp.clip(jnp.rint(values), 0, 255).astype(jnp.uint8), mixed


EFFECTS: dict[str, Callable[..., Any]] = {
    effect.__name__: effect for effect in (flip, shift, move, tone, cutout, mixup)
}
