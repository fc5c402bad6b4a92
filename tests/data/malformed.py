"""Some 400 malformed or odd pictures, made from small valid ones; the same bytes every time."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

SIDE = 24
SUFFIX = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "WEBP": "webp", "TIFF": "tif"}
SIZES = (0, 1, 255, 65_535, 2**31 - 1, 2**32 - 1)


def _save(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _pixels(number: int) -> np.ndarray:
    """(24, 24, 3) uint8: smooth with some noise, so that every encoder has something to write."""
    ramp = np.add.outer(np.arange(SIDE) * 4, np.arange(SIDE) * 5)[..., None] + [0, 20, 40]
    noise = np.random.default_rng(number).integers(0, 16, (SIDE, SIDE, 3))
    return (ramp + noise).clip(0, 255).astype(np.uint8)


def good(number: int) -> bytes:
    """A sound picture."""
    return _save(Image.fromarray(_pixels(1000 + number)), "PNG")


def _exif(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description"
    return exif


@cache
def valid() -> dict[str, bytes]:
    """Sound pictures of every format and of the odd kinds, by a name with the right suffix."""
    rgb = Image.fromarray(_pixels(0))
    gray, more = rgb.convert("L"), [Image.fromarray(_pixels(i)) for i in (1, 2)]
    alpha = rgb.copy()
    alpha.putalpha(gray)
    deep = Image.fromarray(_pixels(3)[..., 0].astype(np.uint16) * 250)
    frames = {"save_all": True, "append_images": more}
    return {
        "plain.jpg": _save(rgb, "JPEG", quality=90),
        "progressive.jpg": _save(rgb, "JPEG", progressive=True),
        "exif.jpg": _save(rgb, "JPEG", exif=_exif()),
        "cmyk.jpg": _save(rgb.convert("CMYK"), "JPEG"),
        "gray.jpg": _save(gray, "JPEG"),
        "plain.png": _save(rgb, "PNG"),
        "exif.png": _save(rgb, "PNG", exif=_exif(8)),
        "alpha.png": _save(alpha, "PNG"),
        "16bit.png": _save(deep, "PNG"),
        "palette.png": _save(rgb.quantize(16), "PNG", transparency=0),
        "onebit.png": _save(gray.convert("1"), "PNG"),
        "interlaced.png": _interlaced(),
        "animated.png": _save(rgb, "PNG", **frames),
        "plain.gif": _save(rgb.quantize(32), "GIF"),
        "animated.gif": _save(rgb, "GIF", duration=50, loop=0, **frames),
        "plain.bmp": _save(rgb, "BMP"),
        "palette.bmp": _save(rgb.quantize(16), "BMP"),
        "plain.webp": _save(rgb, "WEBP"),
        "lossless.webp": _save(alpha, "WEBP", lossless=True, exif=_exif(3)),
        "animated.webp": _save(rgb, "WEBP", duration=50, **frames),
        "plain.tif": _save(rgb, "TIFF"),
        "16bit.tif": _save(deep, "TIFF"),
        "pages.tif": _save(rgb, "TIFF", **frames),
        "lzw.tif": _save(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": _save(gray, "TIFF", compression="tiff_adobe_deflate"),
        "cmyk.tif": _save(rgb.convert("CMYK"), "TIFF"),
        "float.tif": _save(gray.convert("F"), "TIFF"),
    }


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with the right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(
    width: int, height: int, packed: bytes, *, depth: int = 8, color: int = 0, interlace: int = 0
) -> bytes:
    """A PNG of one IDAT chunk, whatever its header says."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _interlaced() -> bytes:
    """8x8 gray, Adam7: Pillow reads it and does not write it."""
    rows = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    raw = b"".join((b"\0" + bytes(range(7, 7 + width))) * height for height, width in rows)
    return png_of(8, 8, zlib.compress(raw), interlace=1)


@cache
def zeros(size: int) -> bytes:
    """What ``zlib`` makes of that many zeros, never holding them."""
    pack = zlib.compressobj(9)
    block = bytes(2**20)
    pieces = [pack.compress(block) for _ in range(size // len(block))]
    return b"".join([*pieces, pack.compress(bytes(size % len(block))), pack.flush()])


# Where the parts of a file start.


def _jpeg_places(content: bytes) -> list[int]:
    at, out = 2, [2]
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        out.append(at)
    return out


def _png_places(content: bytes) -> list[int]:
    at, out = 8, [8]
    while at + 8 <= len(content):
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        out.append(at)
    return out


def _webp_places(content: bytes) -> list[int]:
    at, out = 12, [12]
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
        out.append(at)
    return out


def places(name: str, content: bytes) -> list[int]:
    """The boundaries of markers, chunks or header fields."""
    kind = name.rsplit(".", 1)[1]
    if kind == "jpg":
        return _jpeg_places(content)
    if kind == "png":
        return _png_places(content)
    if kind == "webp":
        return _webp_places(content)
    if kind == "tif":
        ifd = int.from_bytes(content[4:8], "little")
        return [4, 8, ifd, ifd + 2, ifd + 2 + 12, len(content) - 4]
    return [6, 13, 14, 18, 26, 54] if kind == "bmp" else [6, 10, 13, 20, len(content) - 2]


def _truncated() -> Iterator[tuple[str, bytes]]:
    for name, content in valid().items():
        cuts = {1, len(content) // 2, len(content) * 9 // 10, len(content) - 1}
        around = places(name, content)
        for place in around[:: max(1, len(around) // 5)]:
            cuts |= {place - 1, place, place + 1}
        for cut in sorted(c for c in cuts if 0 < c < len(content)):
            yield f"cut-{cut}-{name}", content[:cut]


def _wrong_magic() -> Iterator[tuple[str, bytes]]:
    for name, content in valid().items():
        yield f"magic-{name}", bytes([content[0] ^ 0xFF]) + content[1:]
        yield f"zeroed-{name}", bytes(4) + content[4:]


def _patched(content: bytes, at: int, form: str, *values: int) -> bytes:
    packed = struct.pack(form, *values)
    return content[:at] + packed + content[at + len(packed) :]


def _tiff_tag(content: bytes, tag: int) -> int:
    """Where the value of a tag of the first page is."""
    ifd = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[ifd : ifd + 2], "little")
    entries = [ifd + 2 + 12 * i for i in range(count)]
    return next(e + 8 for e in entries if int.from_bytes(content[e : e + 2], "little") == tag)


def _declared_sizes() -> Iterator[tuple[str, bytes]]:
    whole = valid()
    sof = whole["plain.jpg"].find(b"\xff\xc0") + 5
    for size in SIZES:
        short, middle = min(size, 65_535), min(size, 2**24 - 1)
        packed = zlib.compress(bytes(600))
        yield f"size-{size}-a.png", png_of(size, 24, packed, color=2)
        yield f"size-{size}-b.png", png_of(24, size, packed, depth=16)
        yield f"size-{size}-c.png", png_of(size, size, packed, interlace=1)
        yield f"size-{size}-a.jpg", _patched(whole["plain.jpg"], sof, ">HH", short, 24)
        yield f"size-{size}-b.jpg", _patched(whole["plain.jpg"], sof, ">HH", short, short)
        yield f"size-{size}-a.bmp", _patched(whole["plain.bmp"], 18, "<II", size, 24)
        yield f"size-{size}-b.bmp", _patched(whole["plain.bmp"], 22, "<I", size)
        yield f"size-{size}-a.gif", _patched(whole["plain.gif"], 6, "<HH", short, short)
        yield f"size-{size}-a.webp", _patched(whole["animated.webp"], 24, "<I", middle)
        yield f"size-{size}-b.webp", _patched(whole["lossless.webp"], 16, "<I", size)
        for tag in (0x100, 0x101, 0x111, 0x115, 0x116, 0x117):  # width, height, strips, samples, rows, bytes
            content = whole["lzw.tif"]
            yield f"size-{size}-tag{tag}.tif", _patched(content, _tiff_tag(content, tag), "<I", size)


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "bomb-20000.png", png_of(20_000, 20_000, zeros(20_000 * 2_501), depth=1)
    yield "bomb-3000.png", png_of(3_000, 3_000, zeros(3_000 * 3_001))
    yield "bomb-60000.png", png_of(60_000, 60_000, zlib.compress(b""), color=2)
    yield "bomb-text.png", _with_chunk(b"zTXt", b"words\0\0" + zeros(50 * 2**20))
    yield "bomb-profile.png", _with_chunk(b"iCCP", b"profile\0\0" + zeros(50 * 2**20))
    yield "bomb-more-than-declared.png", png_of(24, 24, zeros(50 * 2**20))
    gif = valid()["plain.gif"]
    yield "bomb-canvas.gif", _patched(gif, 6, "<HH", 65_535, 65_535)
    frame = gif.find(b"\x2c", 13 + 3 * 2 ** ((gif[10] & 7) + 1))
    yield "bomb-frame.gif", _patched(gif, frame + 5, "<HH", 65_535, 65_535)
    yield "bomb-scans.jpg", scan_bomb(2_000)


def scan_bomb(scans: int, side: int = 8_000) -> bytes:
    """A progressive JPEG with many empty scans, each of which libjpeg takes over all its blocks."""
    content = valid()["progressive.jpg"]
    size = content.find(b"\xff\xc2") + 5
    content = _patched(content, size, ">HH", side, side)
    end = content.find(b"\xff\xda")
    # One component, the DC coefficients, refined from bit 1 to bit 0.
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 0x10)
    return content[:-2] + scan * scans + b"\xff\xd9" if end > 0 else b""


def _with_chunk(kind: bytes, body: bytes) -> bytes:
    content = valid()["plain.png"]
    after = _png_places(content)[1]
    return content[:after] + png_chunk(kind, body) + content[after:]


def _broken_exif() -> Iterator[tuple[str, bytes]]:
    exif = _exif().tobytes()[6:]  # without its "Exif\0\0"
    loop = b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
    bodies = {
        "empty": b"",
        "half": exif[: len(exif) // 2],
        "magic": b"XX" + exif[2:],
        "offset": exif[:4] + b"\xff\xff\xff\xff" + exif[8:],
        "count": exif[:8] + b"\xff\xff" + exif[10:],
        "type": exif.replace(struct.pack("<HH", 0x0112, 3), struct.pack("<HH", 0x0112, 99)),
        "text": exif.replace(struct.pack("<HH", 0x0112, 3), struct.pack("<HH", 0x0112, 2)),
        "orientation-0": _exif(0).tobytes()[6:],
        "orientation-9": _exif(9).tobytes()[6:],
        "orientation-65535": _exif(65_535).tobytes()[6:],
        "loop": loop,
        "noise": np.random.default_rng(5).bytes(200),
    }
    plain = valid()["plain.jpg"]
    for name, body in bodies.items():
        segment = b"Exif\0\0" + body
        marker = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
        yield f"exif-{name}.jpg", plain[:2] + marker + plain[2:]
        yield f"exif-{name}.png", _with_chunk(b"eXIf", body)
    yield "exif-length.jpg", plain[:2] + b"\xff\xe1\xff\xffExif\0\0" + plain[2:]


def _no_pictures() -> Iterator[tuple[str, bytes]]:
    whole = valid()
    for kind in SUFFIX.values():
        yield f"zero-bytes.{kind}", b""
        yield f"text.{kind}", b"this is no picture\n" * 9
        yield f"noise.{kind}", np.random.default_rng(len(kind)).bytes(500)
        yield f"nothing.{kind}", bytes(500)
    kinds = list(SUFFIX.values())
    for here, there in zip(kinds, kinds[1:] + kinds[:1], strict=True):
        yield f"really-{here}.{there}", whole[f"plain.{here}"]
    yield "html.jpg", b"<html><body>404</body></html>"
    yield "svg.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    yield "zip.png", b"PK\x03\x04" + bytes(60)
    yield "netpbm.png", b"P5 2 2 255\n" + bytes(4)


def _damaged() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(7)
    for name, content in valid().items():
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 6):
            changed[place] ^= int(rng.integers(1, 256))
        yield f"damaged-{name}", bytes(changed)
        yield f"followed-{name}", content + rng.bytes(50)


def corpus() -> dict[str, bytes]:
    """Malformed and odd pictures by file name; some of them can be read all the same."""
    out: dict[str, bytes] = {f"valid-{name}": content for name, content in valid().items()}
    for part in (
        _truncated,
        _wrong_magic,
        _declared_sizes,
        _bombs,
        _broken_exif,
        _no_pictures,
        _damaged,
    ):
        out.update(part())
    return out
