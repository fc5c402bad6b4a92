"""From the bytes of a picture, or an array, to uint8 pixels: one versioned rule.

The rule is saved with the model and used again wherever it predicts, so that a picture means the same
thing in training, in evaluation and behind an export.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import simplejpeg
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from conviction.data.depth import (
    FULL_RANGE,
    Range,
    is_deep_colour,
    join_bytes,
    low_mode,
    raw_mode,
    read_as,
    shown_mode,
    to_8_bit,
)
from conviction.data.resize import resized
from conviction.data.rule import DecodingRule

# Pillow logs an error and then raises it; without a handler the log would go to standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")

# Each scan of a JPEG goes over all pixels, and a file of some kilobytes can hold thousands; more than 20 are unusual.
MAX_SCANNED_PIXELS = 4_000_000_000

# Decoding a picture of this size takes up to 4 GB (8 or 16 bytes a pixel with the copies that Pillow makes).
# Declared sizes beyond it are refused unread.
MAX_PIXELS = 200_000_000
# Decoders keep lines of pixels. A JPEG has at most 65,535 a side, and no real picture has more than this.
MAX_SIDE = 200_000


class UnreadableImageError(Exception):
    """This picture cannot be decoded; the message says why. Caught where files are listed."""


@dataclass(frozen=True)
class Probe:
    """What the header of a picture says.

    Attributes:
        width: Upright, in pixels; so is ``height``.
        has_color: Whether it can hold colours.
        mode: ``shown_mode``.
        format: As Pillow names it.
        taken: When, in seconds by the camera's own clock; None where EXIF does not say.
        camera: Which, as far as EXIF says.
    """

    width: int
    height: int
    has_color: bool
    mode: str
    format: str
    taken: int | None = None
    camera: str = ""


_SIDEWAYS = (5, 6, 7, 8)  # the EXIF orientations that exchange width and height
_ORIENTATION = 0x0112
_MAKE, _MODEL, _EXIF, _TAKEN = 0x010F, 0x0110, 0x8769, 0x9003


def _open(content: bytes) -> Image.Image:
    if not content:
        raise UnreadableImageError("the file is empty")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnreadableImageError("its content is not a JPEG, PNG, GIF, BMP, WebP or TIFF picture") from None
    except Image.DecompressionBombError:
        raise UnreadableImageError("it declares more pixels than are accepted") from None
    except Exception as failure:  # Pillow's format readers raise whatever a broken header leads to
        raise UnreadableImageError(f"its header is broken ({_reason(failure)})") from None
    if picture.width * picture.height > MAX_PIXELS or max(picture.size) > MAX_SIDE:
        raise UnreadableImageError(
            f"it declares {picture.width}x{picture.height} pixels; at most {MAX_PIXELS:,} are accepted, and "
            f"{MAX_SIDE:,} a side"
        )
    if picture.format == "JPEG" and _scanned(content, picture.width * picture.height) > MAX_SCANNED_PIXELS:
        raise UnreadableImageError("it has more scans than are accepted for its size")
    return picture


def _scanned(content: bytes, pixels: int) -> int:
    """The most pixels that all scans of a JPEG together can cover."""
    most = len(content) // _SCAN_HEADER_BYTES * pixels
    if most <= MAX_SCANNED_PIXELS:
        return most
    # Not bytes.count, which takes a tenth of the time that decoding a photograph takes.
    byte = np.frombuffer(content, np.uint8)
    return int(np.count_nonzero((byte[:-1] == 0xFF) & (byte[1:] == 0xDA))) * pixels


_SCAN_HEADER_BYTES = 10


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow warns of broken EXIF and the like; what cannot be read is listed, and what can be is good."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def probe(content: bytes) -> Probe:
    """Reads the header alone.

    Raises:
        UnreadableImageError: It is not a picture of an accepted format, or its declared size makes it a bomb.
    """
    header = _plain_jpeg(content)
    if header is not None:
        return _probe_of(header)
    with _no_warnings():
        return _probe(content)


def declared_size(content: bytes) -> tuple[int, int]:
    """(width, height) as stored; unlike for ``probe``, no pixel is decoded in search of EXIF that may come after them.

    Raises:
        UnreadableImageError: As for ``probe``.
    """
    with _no_warnings():
        return _open(content).size


def _probe_of(header: tuple[int, int, bool]) -> Probe:
    height, width, gray = header
    return Probe(width, height, not gray, "L" if gray else "RGB", "JPEG")


def _probe(content: bytes) -> Probe:
    picture = _open(content)
    raw = raw_mode(picture)  # looking for EXIF loads a PNG, and then the stored size is no longer known
    try:
        sideways = picture.getexif().get(_ORIENTATION) in _SIDEWAYS
        has_color = raw != "LA;16B" and _has_color(picture)
        mode = shown_mode(picture, raw)
    except Exception:  # broken EXIF or palette: decoding decides whether the picture itself is good
        sideways, has_color, mode = False, True, picture.mode
    width, height = picture.size
    if sideways:
        width, height = height, width
    return Probe(width, height, has_color, mode, picture.format or "", *_taken(picture))


def _taken(picture: Image.Image) -> tuple[int | None, str]:
    """When a picture was taken and by which camera, as far as EXIF says; the clock's zone is not known."""
    try:
        exif = picture.getexif()
        moment = datetime.strptime(str(exif.get_ifd(_EXIF)[_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        camera = " ".join(str(exif.get(tag, "")).strip("\0 ") for tag in (_MAKE, _MODEL)).strip()
        return int(moment.replace(tzinfo=UTC).timestamp()), camera[:_CAMERA_LENGTH]
    except Exception:  # broken EXIF, or none
        return None, ""


_CAMERA_LENGTH = 100


def _has_color(picture: Image.Image) -> bool:
    if picture.mode in ("1", "L", "LA", "La", "I", "F") or picture.mode.startswith("I;16"):
        return False
    if picture.mode == "P":
        colors = np.asarray(picture.getpalette("RGB")).reshape(-1, 3)
        return bool((colors != colors[:, :1]).any())
    return True


def decode(content: bytes, rule: DecodingRule) -> np.ndarray:
    """Decodes the bytes of a picture file to (height, width, channels) uint8 by the rule.

    Raises:
        UnreadableImageError: The file is empty, truncated, of another kind, or declares too many pixels.
    """
    return probe_and_decode(content, [rule])[1][0]


def probe_and_decode(content: bytes, rules: Sequence[DecodingRule]) -> tuple[Probe, list[np.ndarray]]:
    """``probe(content), [decode(content, rule) for rule in rules]``, with what they share done once.

    Raises:
        UnreadableImageError: As for ``decode``.
    """
    header = _plain_jpeg(content)
    if header is not None:
        try:
            return _probe_of(header), _decode_plain_jpeg(content, header, rules)
        except (ValueError, RuntimeError):
            pass  # Pillow decides what can be read
    with _no_warnings():
        return _probe(content), _decode_by_pillow(content, rules)


def _decode_by_pillow(content: bytes, rules: Sequence[DecodingRule]) -> list[np.ndarray]:
    loaded: dict[int, Image.Image] = {}
    deep: dict[Range | None, Image.Image] = {}
    out = []
    for rule in rules:
        picture = _open(content)
        try:
            scale = _pillow_scale(picture, rule)
            raw = raw_mode(picture)
            if scale not in loaded:
                loaded[scale] = _load(picture, scale)
            if rule.version >= 3 and is_deep_colour(raw):
                if rule.file_range not in deep:
                    deep[rule.file_range] = _deep_colours(content, loaded[scale], raw, rule.file_range)
                out.append(_finish(deep[rule.file_range], rule))
            else:
                out.append(_finish(to_8_bit(loaded[scale], rule.deep_range), rule))
        except UnreadableImageError:
            raise
        except MemoryError:
            raise
        except Exception as failure:  # as above: the decoders of six formats have no common error
            raise UnreadableImageError(f"its pixels cannot be decoded ({_reason(failure)})") from None
    return out


def _deep_colours(content: bytes, loaded: Image.Image, raw: str, scale: Range | None) -> Image.Image:
    """Of 16-bit colours, both bytes; where only the high ones are available, those if they have the full range."""
    low = low_mode(raw)
    if not low:
        if scale is None:
            return loaded
        raise UnreadableImageError(
            "data.range cannot be applied to 16-bit colours that are stored in this way; save it as PNG"
        )
    picture = _open(content)
    read_as(picture, low)
    return join_bytes(loaded, _load(picture, 1), raw, scale or FULL_RANGE)


def _plain_jpeg(content: bytes) -> tuple[int, int, bool] | None:
    """(height, width, gray) of a JPEG that does not need Pillow: no EXIF, gray or colour, of accepted size.

    Pillow's own opening and loading take 0.2 ms, ten times what a small JPEG needs. Both build on
    libjpeg-turbo and give the same pixels, as a test checks.
    """
    if not content.startswith(b"\xff\xd8\xff") or _may_have_exif(content):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except (ValueError, RuntimeError):
        return None
    if space not in ("Gray", "YCbCr", "RGB") or not 0 < height * width <= MAX_PIXELS:
        return None
    if _scanned(content, height * width) > MAX_SCANNED_PIXELS:
        return None
    return height, width, space == "Gray"


def _may_have_exif(content: bytes) -> bool:
    """Whether a JPEG has EXIF before its pixels, or segments that are not understood."""
    if len(content) < _SHORT:
        return b"Exif\0" in content
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and 0xC0 <= content[at + 1] < 0xFF:
        marker = content[at + 1]
        if marker == _START_OF_SCAN:
            return False
        if marker == _APP1 and content.startswith(b"Exif\0", at + 4):
            return True
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return True


# Below this many bytes, looking at all of them is quicker than going from segment to segment.
_SHORT = 2**15
_START_OF_SCAN, _APP1 = 0xDA, 0xE1


def _decode_plain_jpeg(
    content: bytes, header: tuple[int, int, bool], rules: Sequence[DecodingRule]
) -> list[np.ndarray]:
    height, width, gray = header
    decoded: dict[int, np.ndarray] = {}
    out = []
    for rule in rules:
        scale = rule.scale(width, height)
        if scale not in decoded:
            decoded[scale] = simplejpeg.decode_jpeg(
                content,
                "Gray" if gray else "RGB",
                # The smallest sizes that it may give: exactly those of this scale.
                min_height=-(-height // scale) if scale > 1 else 0,
                min_width=-(-width // scale) if scale > 1 else 0,
                min_factor=1,
            )
        array = decoded[scale]
        out.append(array if array.shape == rule.shape else decode_array(array, rule))
    return out


def _pillow_scale(picture: Image.Image, rule: DecodingRule) -> int:
    if picture.format != "JPEG":
        return 1
    width, height = picture.size
    return rule.scale(*((height, width) if _is_sideways(picture) else (width, height)))


def _is_sideways(picture: Image.Image) -> bool:
    try:
        return picture.getexif().get(_ORIENTATION) in _SIDEWAYS
    except Exception:  # broken EXIF alone does not spoil a picture
        return False


def _load(picture: Image.Image, scale: int) -> Image.Image:
    """The upright picture, its pixels decoded at 1/scale."""
    picture.seek(0)
    if scale > 1:
        width, height = picture.size
        picture.draft(None, (width // scale, height // scale))
    try:
        return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, OverflowError):
        picture.load()  # broken EXIF alone does not spoil a picture; broken pixels raise here again
        return picture


def decode_picture(picture: Image.Image, rule: DecodingRule) -> np.ndarray:
    """Brings a Pillow picture to (height, width, channels) uint8 as the file that it came from would be.

    A picture that has not been loaded is read from its file, and stays as it is. One that has is taken as it is
    in memory: of 16-bit colours there are only 8 bits left, and a large JPEG was decoded at its full size.

    Raises:
        UnreadableImageError: As for ``decode``; or its mode cannot become gray or colours.
    """
    try:
        content = _unread_content(picture)
        if content is not None:
            return decode(content, rule)
        with _no_warnings():
            upright = ImageOps.exif_transpose(picture)
            return _finish(to_8_bit(upright, rule.deep_range), rule)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as failure:  # as above
        raise UnreadableImageError(f"its pixels cannot be decoded ({_reason(failure)})") from None


def _unread_content(picture: Image.Image) -> bytes | None:
    """The file behind a picture of which nothing has been read but the header and the first frame's place."""
    file = getattr(picture, "fp", None)
    untouched = isinstance(picture, ImageFile.ImageFile) and picture.tile and picture.tell() == 0
    if not untouched or file is None or picture.format not in FORMATS:
        return None
    at = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(at)
    return content


def decode_array(image: np.ndarray, rule: DecodingRule) -> np.ndarray:
    """Brings one uint8 image (h, w, 1 or 3 or 4) to the rule's size and channels."""
    squeezed = image[..., 0] if image.shape[-1] == 1 else image
    return _finish(Image.fromarray(np.ascontiguousarray(squeezed)), rule)


def _finish(picture: Image.Image, rule: DecodingRule) -> np.ndarray:
    if picture.mode in ("LA", "La", "PA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    wanted = "L" if rule.color_mode == "grayscale" else "RGB"
    if picture.mode != wanted:
        # Palettes and CMYK have no direct way to L in every Pillow version; RGB is on the way of all.
        picture = picture.convert("RGB").convert(wanted)
    return np.asarray(resized(picture, rule.width, rule.height, rule.fit)).reshape(rule.shape)


def _reason(failure: Exception) -> str:
    return " ".join(str(failure).split()) or type(failure).__name__
