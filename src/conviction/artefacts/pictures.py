"""The pictures on which an artefact is compared with the run: files, as a user would hand them over."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from conviction.data import ImageSet


@dataclass(frozen=True)
class Pictures:
    """Where picture files are: paths inside a folder or archive."""

    location: str
    names: list[str]


def picture_files(images: ImageSet, indices: np.ndarray, folder: Path) -> Pictures:
    """The files of some images: their own, or, of images that came as numbers, PNG files in ``folder``."""
    if images.headers:
        return Pictures(images.location, [images.names[i] for i in indices])
    names = []
    for index in indices:
        name = f"{index}.png"
        (folder / name).write_bytes(png_of(images.pixels[index]))
        names.append(name)
    return Pictures(str(folder), names)


def png_of(pixels: np.ndarray) -> bytes:
    """(h, w, 1 or 3) uint8 as a PNG, which loses nothing."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def spread_out(n: int, most: int) -> np.ndarray:
    """At most ``most`` of range(n), evenly spaced; images are ordered by their content, so this is a fair draw."""
    return (
        np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
        if n
        else np.empty(0, np.int64)
    )
