"""How any picture becomes pixels: one versioned value, saved with every model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from conviction.config.data import Fit
from conviction.config.model import Strict

# Smaller pictures are never reduced while they are decoded; and up to half this size every rule decodes alike.
LEAST_DECODED = 128


class DecodingRule(Strict):
    """How any picture becomes (height, width, channels) uint8.

    Version 3: the first frame; EXIF orientation applied; 16-bit gray and colours scaled by ``file_range`` if given,
    else by their full range 0-65535; transparency laid over white; converted to ``color_mode``
    (grayscale by ITU-R 601 luma, as Pillow does); brought to (height, width) by Pillow's
    antialiased bilinear filter, if it has another size. Large JPEG files are decoded at 1/2, 1/4 or 1/8
    of their size (as libjpeg does from a part of the coefficients), the smallest that leaves twice
    (height, width) and at least 128 pixels on each side.

    ``fit`` says what becomes of pictures of another shape: "stretch" scales each side by itself; "crop" scales until
    the picture covers (height, width) and keeps its middle; "pad" scales until all of it fits, to whole pixels, puts
    it in the middle and leaves the rest black. Rules that were saved without it stretch.

    Version 2 scaled 16-bit gray by ``array_range``, and took the high byte of 16-bit colours. Version 1 also decoded
    every JPEG at full size.

    ``array_range`` is what black and white are in arrays like those that the model was trained on, and
    ``array_type`` their type; both are None for a model that was trained on files.
    """

    version: Literal[1, 2, 3] = 3
    color_mode: Literal["grayscale", "rgb"]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    fit: Fit = "stretch"
    filter: Literal["bilinear"] = "bilinear"
    array_range: tuple[float, float] | None = Field(default=None, strict=False)
    array_type: Literal["bool", "uint8", "uint16", "integer", "float"] | None = None
    file_range: tuple[float, float] | None = Field(default=None, strict=False)

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for RGB."""
        return 1 if self.color_mode == "grayscale" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return (self.height, self.width, self.channels)

    @property
    def deep_range(self) -> tuple[float, float] | None:
        """Black and white of files of more than 8 bits; None for the full range of 16."""
        return self.file_range if self.version >= 3 else self.array_range

    def keeps_shape(self, width: int, height: int) -> bool:
        """Whether pictures of this size have the shape of (height, width), to within a pixel of the result."""
        return abs(height * self.width - width * self.height) < min(width, height)

    def scale(self, width: int, height: int) -> int:
        """The factor by which a JPEG of this (upright) size is reduced while it is decoded: 1, 2, 4 or 8.

        One for every ``fit``: if the whole leaves twice (height, width), so does the middle that is cropped from it,
        which has one of the picture's sides and the shape of (height, width); and what is padded becomes smaller.
        """
        if self.version == 1:
            return 1
        return next(
            s
            for s in (8, 4, 2, 1)
            if s == 1
            or (
                width // s >= max(LEAST_DECODED, 2 * self.width)
                and height // s >= max(LEAST_DECODED, 2 * self.height)
            )
        )
