"""Pictures of more than 8 bits per channel: which ones they are, and how they become 8 bits."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageFile

Range = tuple[float, float]

FULL_RANGE: Range = (0.0, 65535.0)
# Rows that are converted at a time: a whole large picture would take gigabytes as floats.
BAND = 256
_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def raw_mode(picture: Image.Image) -> str:
    """How a picture that has not been loaded is stored, in Pillow's words, such as ``RGB;16B``; "" if unknown."""
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile:
        return ""
    stored = {t.args if isinstance(t.args, str) else str((t.args or ("",))[0]) for t in picture.tile}
    return stored.pop() if len(stored) == 1 else ""


def shown_mode(picture: Image.Image, raw: str) -> str:
    """Pillow's mode, with ``;16`` for 16-bit colours, and X for a fourth channel that the file does not name."""
    if raw == "LA;16B":
        return "LA;16"
    mode = "RGBX" if raw.startswith("RGBX") else picture.mode
    return f"{mode};16" if is_deep_colour(raw) else mode


def is_deep(mode: str) -> bool:
    """Whether a mode that ``shown_mode`` gave, or Pillow, has more than 8 bits per channel."""
    return mode == "I" or ";16" in mode


def is_deep_colour(raw: str) -> bool:
    """Whether a raw mode has 16 bits per channel, of which Pillow keeps 8."""
    return ";16" in raw and not raw.startswith("I")


def low_mode(raw: str) -> str:
    """The raw mode by which Pillow gives the low byte of each value, where by ``raw`` it gives the high one.

    Pillow has no mode for 16-bit colours and keeps the high bytes. Read in the other byte order,
    those are the low ones. "" if there is no such mode.
    """
    if raw == "LA;16B":  # four bytes per pixel, which are read as they are
        return "RGBA"
    if raw[:-1] in ("RGB;16", "RGBX;16", "RGBA;16", "CMYK;16"):
        return raw[:-1] + _OTHER_ORDER[raw[-1]]
    return ""


def read_as(picture: Image.Image, raw: str) -> None:
    """Makes Pillow read a picture that has not been loaded by another raw mode of as many bits."""
    assert isinstance(picture, ImageFile.ImageFile)
    picture.tile = [
        t._replace(args=raw if isinstance(t.args, str) else (raw, *(t.args or ())[1:])) for t in picture.tile
    ]


def join_bytes(high: Image.Image, low: Image.Image, raw: str, scale: Range) -> Image.Image:
    """A picture of 8 bits from the two bytes of each value of one of 16.

    Args:
        high: As Pillow reads it.
        low: As it reads it by ``low_mode(raw)``.
        raw: The raw mode.
        scale: Black and white of the colours. Transparency always has the full range.
    """
    mode = raw.split(";", maxsplit=1)[0].replace("X", "")
    colours = len(mode.replace("A", ""))
    # A PNG may say that one colour is transparent; it gives that in 16 bits.
    clear = high.info.get("transparency") if mode == "RGB" else None
    rows = []
    for top in range(0, high.height, BAND):
        box = (0, top, high.width, min(top + BAND, high.height))
        values = np.asarray(low.crop(box)).astype(np.int32)  # (rows, w, c)
        if mode == "LA":
            values = values[..., ::2] * 256 + values[..., 1::2]  # (rows, w, 4 bytes) -> (rows, w, 2)
        else:
            values += np.asarray(high.crop(box)).astype(np.int32) * 256
        eight = [scale_to_uint8(values[..., :colours], *scale)]
        if "A" in mode:
            eight.append(scale_to_uint8(values[..., colours:], *FULL_RANGE))
        elif isinstance(clear, tuple):
            alpha = np.where((values == np.array(clear)).all(axis=-1, keepdims=True), 0, 255)
            eight.append(alpha.astype(np.uint8))
        rows.append(np.concatenate(eight, axis=-1))
    whole = np.concatenate(rows)
    made = "RGBA" if isinstance(clear, tuple) else mode
    return Image.frombytes(made, high.size, whole.tobytes())


def to_8_bit(picture: Image.Image, scale: Range | None) -> Image.Image:
    """A loaded picture as Pillow's 8-bit modes have it; grays of more bits are brought to 0-255.

    Args:
        picture: Of any mode.
        scale: Black and white of grays of more than 8 bits; None for all of 16 bits.

    Raises:
        ValueError: It holds floating-point pixels, or 32 bits of unknown range.
    """
    if picture.mode == "F":
        raise ValueError("it holds floating-point pixels; save it with 8 or 16 bits")
    if not is_deep(picture.mode):
        return picture
    values = np.asarray(picture)
    if scale is None and (values.min() < 0 or values.max() > FULL_RANGE[1]):
        raise ValueError("it holds 32-bit pixels; save it with 8 or 16 bits")
    out = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), BAND):
        out[top : top + BAND] = scale_to_uint8(values[top : top + BAND], *(scale or FULL_RANGE))
    return Image.fromarray(out)


def scale_to_uint8(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Maps [low, high] linearly onto 0..255 and rounds to the nearest (ties to even); values beyond are clipped."""
    clipped = np.clip(values.astype(np.float64), low, high)
    return np.rint((clipped - low) * (255.0 / (high - low))).astype(np.uint8)
