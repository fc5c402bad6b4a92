"""From a picture of any size to one of (width, height): stretched, its middle, or all of it with black beside it."""

from __future__ import annotations

from PIL import Image, ImageOps

from conviction.config.data import Fit


def resized(picture: Image.Image, width: int, height: int, fit: Fit) -> Image.Image:
    """A picture of mode L or RGB at this size, by Pillow's antialiased bilinear filter.

    Where its shape is that of (width, height), ``fit`` makes no difference.
    """
    if picture.size == (width, height):
        return picture
    if fit == "pad":
        return padded(picture, width, height)
    if fit == "crop":
        # It resamples from a box with fractions of pixels, so that nothing is rounded before.
        return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def padded(picture: Image.Image, width: int, height: int) -> Image.Image:
    """All of a picture in the middle of (width, height), to whole pixels; the rest is black."""
    scale = min(width / picture.width, height / picture.height)
    # However narrow the picture is, a line of it is left.
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.BILINEAR)
    out = Image.new(picture.mode, (width, height))
    out.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return out
