"""Training images varied differently in every epoch: what is drawn, then arithmetic on uint8 batches.

The order of the operations: flip, then zoom and rotate about the centre and shift, then contrast and
brightness, then cutout, then mixup. What an operation draws depends on its own key, the seed, the epoch and
the step alone, so an interrupted epoch can be continued, and one key's value does not disturb another's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from conviction.config import AugmentationSpec

# Each has its own random stream, numbered by its position in this list: append only.
OPERATIONS = ("flip", "shift", "rotate", "zoom", "brightness", "contrast", "cutout", "mixup")
# Float copies are made of about this many values at a time: they stay in the cache, and no batch of large
# images exists as floats as a whole.
_GROUP = 2**16
# Resampling holds eight such copies at once.
_RESAMPLED_GROUP = 2**14
# Johnk's method divides by the parameter; below this every draw is 0 or 1 anyway.
_LEAST_BETA = 1e-6


@dataclass(frozen=True)
class Draws:
    """What was drawn for n images; an operation that is off has the value that changes nothing.

    Attributes:
        flips: (n, 2) bool, turned upside down and mirrored left to right.
        shifts: (n, 2) int64, pixels down and to the right.
        angles: (n,) float64, degrees; positive turns from the right towards the bottom.
        zooms: (n,) float64, factors; above 1 magnifies.
        biases: (n,) float64, gray levels to add.
        gains: (n,) float64, factors of the distance from the image's mean.
        centres: (n, 2) int64, row and column of the centre of the square that is cut out.
        shares: (n,) float64, how much of itself an image keeps when it is mixed.
        partners: (n,) int64, a permutation: with which image of the batch it is mixed.
    """

    flips: np.ndarray
    shifts: np.ndarray
    angles: np.ndarray
    zooms: np.ndarray
    biases: np.ndarray
    gains: np.ndarray
    centres: np.ndarray
    shares: np.ndarray
    partners: np.ndarray

    def of(self, rows: slice) -> Draws:
        """Those of some of the images."""
        return Draws(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def active_operations(spec: AugmentationSpec) -> list[str]:
    """The keys that are on, in the order of ``OPERATIONS``."""
    return [key for key in OPERATIONS if getattr(spec, key) not in ("none", 0)]


def is_active(spec: AugmentationSpec) -> bool:
    """Whether any key is on."""
    return bool(active_operations(spec))


def augment(
    pixels: np.ndarray,
    targets: np.ndarray,
    spec: AugmentationSpec,
    *,
    seed: int,
    epoch: int,
    step: int,
    rows: slice = slice(None),
) -> tuple[np.ndarray, np.ndarray]:
    """Varies one batch; the arguments are never written to.

    Args:
        pixels: (n, h, w, c) uint8, n at least 1.
        targets: (n, k) float32.
        spec: What to do, and how much.
        seed: At least 0, as are the next two.
        epoch: From 0.
        step: The number of the batch within the epoch, from 0.
        rows: Which images are wanted; the others may stay as they are.

    Returns:
        (n, h, w, c) uint8 and (n, k) float32: the very arguments where nothing is on. Only mixup changes
        targets; their rows still add up to what they did.
    """
    if not is_active(spec):
        return pixels, targets
    n, height, width, _ = pixels.shape
    draws = draw(spec, (n, height, width), seed=seed, epoch=epoch, step=step)
    if spec.mixup:
        varied = _vary(pixels, spec, draws)  # any image may be mixed into those that are wanted
        return mixup(varied, targets, draws.shares, draws.partners)
    if rows.indices(n) == (0, n, 1):
        return _vary(pixels, spec, draws), targets
    out = pixels.copy()
    out[rows] = _vary(pixels[rows], spec, draws.of(rows))
    return out, targets


def _vary(pixels: np.ndarray, spec: AugmentationSpec, draws: Draws) -> np.ndarray:
    """Each image by itself."""
    _, height, width, _ = pixels.shape
    if spec.flip != "none":
        pixels = flip(pixels, draws.flips)
    if spec.rotate or spec.zoom:
        matrices, offsets = affine(draws.angles, draws.zooms, draws.shifts, height, width)
        pixels = resample(pixels, matrices, offsets)
    elif spec.shift:
        pixels = shift(pixels, draws.shifts)
    if spec.brightness or spec.contrast:
        pixels = tone(pixels, draws.gains, draws.biases)
    if spec.cutout:
        pixels = cutout(pixels, draws.centres, cutout_side(spec, height, width))
    return pixels


def draw(spec: AugmentationSpec, shape: tuple[int, int, int], *, seed: int, epoch: int, step: int) -> Draws:
    """Draws for a batch of ``shape`` (n, h, w); see ``augment``.

    Each axis is flipped with probability 1/2; all else is uniform over the whole range, but for mixup's
    share, which is Beta(a, a), one for each image.
    """
    n, height, width = shape

    def stream(key: str) -> np.random.Generator:
        # The order of the epoch has the same key; its counter starts at 0 and never reaches the last word.
        counter = [0, step, OPERATIONS.index(key), 1]
        return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=counter))

    def uniform(key: str, middle: float, scale: float = 1.0) -> np.ndarray:
        reach = scale * getattr(spec, key)
        return stream(key).uniform(middle - reach, middle + reach, n) if reach else np.full(n, middle)

    flips = np.zeros((n, 2), bool)
    axes = {"none": [], "vertical": [0], "horizontal": [1], "both": [0, 1]}[spec.flip]
    if axes:
        flips[:, axes] = stream("flip").integers(0, 2, (n, 2), dtype=bool, endpoint=False)[:, axes]
    most = shift_reach(spec, height, width)
    off = np.zeros((n, 2), np.int64)
    mixed = stream("mixup") if spec.mixup else None
    beta = max(spec.mixup, _LEAST_BETA)
    return Draws(
        flips=flips,
        shifts=stream("shift").integers([-m for m in most], most, (n, 2), endpoint=True)
        if any(most)
        else off,
        angles=uniform("rotate", 0.0),
        zooms=uniform("zoom", 1.0),
        biases=uniform("brightness", 0.0, 255.0),
        gains=uniform("contrast", 1.0),
        centres=stream("cutout").integers(0, (height, width), (n, 2)) if spec.cutout else off,
        shares=mixed.beta(beta, beta, n) if mixed else np.ones(n),
        partners=mixed.permutation(n) if mixed else np.arange(n),
    )


def shift_reach(spec: AugmentationSpec, height: int, width: int) -> tuple[int, int]:
    """The most pixels by which an image moves, down and to the right; at most half of each side."""
    # Reflection has side - 1 pixels to offer, and half a side of 1 rounds to 0.
    return round(spec.shift * height), round(spec.shift * width)


def cutout_side(spec: AugmentationSpec, height: int, width: int) -> int:
    """The side in pixels of the square that is cut out."""
    return round(spec.cutout * min(height, width))


def flip(pixels: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Mirrors images (n, h, w, c) where ``flips`` (n, 2) says so, by row and by column."""
    out = pixels.copy()
    upside = np.flatnonzero(flips[:, 0])
    if len(upside):
        out[upside] = out[upside, ::-1]
    mirrored = np.flatnonzero(flips[:, 1])
    if len(mirrored):
        before = out[mirrored]
        after = np.empty_like(before)
        # Channel by channel, NumPy's inner loop is a whole row instead of one pixel: several times faster.
        for channel in range(pixels.shape[3]):
            after[..., channel] = before[:, :, ::-1, channel]
        out[mirrored] = after
    return out


def shift(pixels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Moves images (n, h, w, c) by ``shifts`` (n, 2) whole pixels, exactly.

    What comes in at the border is reflected about the outermost pixel (``reflect`` in NumPy, ``mirror`` in
    SciPy). A shift is at most the side less 1.
    """
    _, height, width, _ = pixels.shape
    down, right = (int(m) for m in np.abs(shifts).max(axis=0))
    # (n, h, w, c) -> (n, h + 2*down, w + 2*right, c)
    padded = np.pad(pixels, ((0, 0), (down, down), (right, right), (0, 0)), mode="reflect")
    out = np.empty_like(pixels)
    for i, (y, x) in enumerate(([down, right] - shifts).tolist()):
        out[i] = padded[i, y : y + height, x : x + width]
    return out


def affine(
    angles: np.ndarray, zooms: np.ndarray, shifts: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Zoom and rotation about the centre, then the shift, as the way back from a new pixel to an old place.

    Returns:
        Matrices (n, 2, 2) and offsets (n, 2), float64, with old = matrix @ new + offset in (row, column).
    """
    radians = np.deg2rad(angles)
    cosine, sine = np.cos(radians) / zooms, np.sin(radians) / zooms
    matrices = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)  # (n, 4) -> (n, 2, 2)
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    return matrices, centre - np.einsum("nij,nj->ni", matrices, centre + shifts)


def resample(pixels: np.ndarray, matrices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """New pixels (n, h, w, c) from ``affine``'s places in the old ones, bilinearly.

    Places outside are reflected as by ``shift``, as often as it takes. Rounded to the nearest gray level.
    """
    _, height, width, channels = pixels.shape
    out = np.empty_like(pixels)
    stride = width + 1  # of a plane with one more row and column, so that every pixel has all neighbours
    for group in _groups(len(pixels), height * width, _RESAMPLED_GROUP):
        y, x = _places(matrices[group], offsets[group], height, width)
        top, left = y.astype(np.intp), x.astype(np.intp)
        y -= top  # from here on the weights of the lower and of the right neighbours
        x -= left
        index = top * stride + left + (np.arange(len(y)) * ((height + 1) * stride))[:, np.newaxis, np.newaxis]
        planes = np.zeros((len(y), height + 1, stride), np.float32)
        flat = planes.ravel()  # shares memory
        for channel in range(channels):
            # The added row and column have weight 0 and are never filled.
            planes[:, :height, :width] = pixels[group, ..., channel]
            upper = _between(flat.take(index), flat[1:].take(index), x)
            lower = _between(flat[stride:].take(index), flat[stride + 1 :].take(index, mode="clip"), x)
            out[group, ..., channel] = np.rint(_between(upper, lower, y))
    return out


def _between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """First + weight * (second - first); writes over its first two arguments."""
    second -= first
    second *= weight
    first += second
    return first


def _places(matrices: np.ndarray, offsets: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """Rows and columns (n, h, w) float32 where new pixels come from, reflected into the image."""
    rows = np.arange(height, dtype=np.float32)[:, np.newaxis]
    columns = np.arange(width, dtype=np.float32)
    coordinates = []
    for axis, side in enumerate((height, width)):
        down, right, start = (
            values.astype(np.float32)[:, np.newaxis, np.newaxis]
            for values in (matrices[:, axis, 0], matrices[:, axis, 1], offsets[:, axis])
        )
        along_axis = (down * rows + start) + right * columns  # (n, h, 1) + (n, 1, w) -> (n, h, w)
        coordinates.append(_mirror(along_axis, side))
    return coordinates


def _mirror(places: np.ndarray, side: int) -> np.ndarray:
    """Places on a line, reflected in place into [0, side - 1] about its outermost pixels."""
    period = np.float32(2 * (side - 1))
    if period == 0:
        places[:] = 0
        return places
    # Distance from the nearest multiple of the period, which is itself an image of place 0.
    nearest = places * (1 / period)
    np.rint(nearest, out=nearest)
    nearest *= period
    places -= nearest
    np.abs(places, out=places)
    return np.minimum(places, side - 1, out=places)  # rounding can leave it a little more


def tone(pixels: np.ndarray, gains: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Mean + gain * (pixel - mean) + bias, rounded and clipped, with each image's mean over all its values."""
    flat = pixels.reshape(len(pixels), -1)  # (n, h, w, c) -> (n, h*w*c)
    means = flat.sum(axis=1, dtype=np.uint64) / flat.shape[1]
    slopes = gains.astype(np.float32)[:, np.newaxis]
    levels = (means * (1 - gains) + biases).astype(np.float32)[:, np.newaxis]
    out = np.empty_like(flat)
    for group in _groups(*flat.shape):
        values = flat[group] * slopes[group]
        values += levels[group]
        out[group] = _to_uint8(values)
    return out.reshape(pixels.shape)


def cutout(pixels: np.ndarray, centres: np.ndarray, side: int) -> np.ndarray:
    """Fills a square of ``side`` pixels about each centre (n, 2) with the image's mean colour.

    The square may hang over the border, as in DeVries and Taylor (2017). They fill with 0 after subtracting
    the mean of the data; the image's own mean, rounded, is as uninformative, and needs no other image. A
    square of an even side reaches one pixel further up and left.
    """
    n, height, width, channels = pixels.shape
    out = pixels.copy()
    # Rows first: (n, h, w*c) -> (n, w, c) -> (n, c)
    columns = pixels.reshape(n, height, -1).sum(axis=1, dtype=np.uint64).reshape(n, width, channels)
    means = np.rint(columns.sum(axis=1) / (height * width)).astype(np.uint8)
    starts = centres - side // 2
    for image, (y, x), mean in zip(out, starts.tolist(), means, strict=True):
        image[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = mean
    return out


def mixup(
    pixels: np.ndarray, targets: np.ndarray, shares: np.ndarray, partners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share * own + (1 - share) * partner's, for pixels (rounded) and targets alike: Zhang et al. (2018).

    Each image has its own share; the authors' program draws one for a batch, the paper leaves it open.
    """
    rest = (1 - shares).astype(np.float32)[:, np.newaxis]
    flat = pixels.reshape(len(pixels), -1)  # (n, h, w, c) -> (n, h*w*c)
    out = np.empty_like(flat)
    for group in _groups(*flat.shape):
        values = flat[group].astype(np.float32)
        values += rest[group] * (flat[partners[group]] - values)
        out[group] = _to_uint8(values)
    return out.reshape(pixels.shape), targets + rest * (targets[partners] - targets)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Rounds and clips float values in place, then converts."""
    np.rint(values, out=values)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def _groups(n: int, values: int, most: int = _GROUP) -> Iterator[slice]:
    """Cuts n images of this many values each into runs that fit the cache."""
    size = max(1, most // values)
    for start in range(0, n, size):
        yield slice(start, start + size)
