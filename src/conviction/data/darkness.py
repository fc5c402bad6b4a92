"""How bright pictures are: blank ones, and sets whose white is not what their type says."""

from __future__ import annotations

import numpy as np

from conviction.data.depth import FULL_RANGE, is_deep
from conviction.data.findings import BLANK_RANGE, LISTED_GROUPS, Finding, plural
from conviction.data.image_set import ImageSet

# 8-bit pictures of which none is brighter than this hold fewer bits; 1/16 of the scale.
DARK = 16
# 16-bit pictures often hold 10, 12 or 14 bits; 14 bits reach a quarter of the scale.
DARK_16 = 64
# The highest values of 1, 8, 10, 12 and 14 bits.
_WHITES = (1, 255, 1023, 4095, 16383)


def light(images: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool: pictures whose values all lie within ``BLANK_RANGE`` levels, in each channel; (n,) the highest."""
    blank = np.empty(len(images), bool)
    brightest = np.empty(len(images), np.uint8)
    for start in range(0, len(images), 4096):  # in pieces, because the pixels may be larger than memory
        piece = slice(start, start + 4096)
        highest, lowest = _ends(images.pixels[piece])
        brightest[piece] = highest.max(axis=1)
        if images.unpadded is not images.pixels:
            highest, lowest = _ends(images.unpadded[piece])
        blank[piece] = (highest.astype(int) - lowest).max(axis=1) <= BLANK_RANGE
    return blank, brightest


def _ends(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, channels) the highest and the lowest value of each; a picture of one strong colour is blank too.

    Over the rows first, because a row is a long stretch of memory: 80 times as fast for photographs as all at once.
    """
    n, height, width, channels = pixels.shape
    rows = pixels.reshape(n, height, width * channels)  # (n, h, w, c) -> (n, h, w*c)
    highest, lowest = (row.reshape(n, width, channels) for row in (rows.max(axis=1), rows.min(axis=1)))
    return highest.max(axis=1), lowest.min(axis=1)  # (n, w, c) -> (n, c)


def too_dark(images: ImageSet, brightest: np.ndarray, kept: np.ndarray) -> tuple[list[Finding], np.ndarray]:
    """Whether all pictures of 16 bits, or all of 8, are so dark that another value must be white.

    Returns:
        (the findings, (n,) bool: the images that they concern).
    """
    files = bool(images.headers)
    if files:
        deep = np.array([is_deep(h.mode) for h in images.headers])
    else:
        deep = np.full(len(images), images.rule.array_type == "uint16")
    findings, concerned = [], np.zeros(len(images), bool)
    for which, limit, bits in ((kept & deep, DARK_16, 16), (kept & ~deep, DARK, 8)):
        highest = int(brightest[which].max(initial=0))
        # Black pictures show nothing else, unless 16 bits were reduced to 8.
        if not which.any() or highest > limit or (highest == 0 and bits == 8):
            continue
        concerned |= which
        findings.append(_finding(images, np.flatnonzero(which), highest, bits))
    return findings, concerned


def _finding(images: ImageSet, which: np.ndarray, highest: int, bits: int) -> Finding:
    files, rule = bool(images.headers), images.rule
    black, white = (rule.deep_range if files else rule.array_range) or FULL_RANGE
    if files and bits == 8:
        black, white = 0.0, 255.0
    step = (white - black) / 255.0
    if bits == 16:
        least = black + (highest - 0.5) * step
        likely: float = next((w for w in _WHITES if w >= least and (w > 1 or highest == 0)), white)
        top = f"about {black + highest * step:.0f}" if highest else f"at most {black + 0.5 * step:.0f}"
    else:
        # Fractions are known to within half a step, and the range must hold them all.
        likely = black + (highest + (0.5 if rule.array_type == "float" and not files else 0.0)) * step
        top = f"{black + highest * step:.3g}"
    key = f"data.range=[{black:g},{likely:.3g}]" if likely < 1.0 else f"data.range=[{black:g},{likely:g}]"
    if files and bits == 8:
        advice = (
            f"If {likely:g} is white, save the files with values up to 255; or give the pictures as arrays (.npz), "
            f"with {key}."
        )
    else:
        advice = f"If {likely:.6g} is white, say so: {key}."
    one = len(which) == 1
    kind = "16-bit picture" if bits == 16 else "picture"
    return Finding(
        "too_dark",
        "warning",
        f"{plural(len(which), kind)} {'is' if one else 'are all'} nearly black: the highest value is {top}, and "
        f"{white:g} is white.",
        advice,
        len(which),
        tuple((i,) for i in which[:LISTED_GROUPS].tolist()),
        advice_on_page=f"If {likely:.6g} is white, scale the values so that {white:g} is, and upload them again.",
    )
