"""Sources of every kind, built from the same images."""

from __future__ import annotations

import csv
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet as pq

CLASSES = ("ant", "bee", "cow")
PER_CLASS = 8
SIZE = 30


def image(label: int, i: int) -> np.ndarray:
    """(30, 30, 3) uint8, different for every label and number."""
    return np.random.default_rng([label, i]).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def files() -> dict[str, bytes]:
    """Relative path to content, by class folder."""
    return {
        f"{name}/{i}.png": png(image(label, i))
        for label, name in enumerate(CLASSES)
        for i in range(PER_CLASS)
    }


def write_tree(root: Path, tree: dict[str, bytes]) -> Path:
    for path, content in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def folder(tmp: Path) -> Path:
    return write_tree(tmp / "animals", files())


def folder_backwards(tmp: Path) -> Path:
    """The same pictures under names that sort the other way round."""
    renamed = {
        f"{path.split('/')[0]}/{99 - int(Path(path).stem)}.png": content for path, content in files().items()
    }
    return write_tree(tmp / "elsewhere" / "deeper", renamed)


def flat(tmp: Path) -> Path:
    root = tmp / "flat"
    root.mkdir()
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        for path, content in files().items():
            name = path.replace("/", "-")
            (root / name).write_bytes(content)
            writer.writerow([name, path.split("/")[0]])
    return root


def table(tmp: Path, suffix: str = ".csv", absolute: bool = False) -> Path:
    """A table of the pictures of a folder, beside the folder or elsewhere."""
    root = folder(tmp)
    rows = {str(root / path if absolute else Path("animals", path)): path.split("/")[0] for path in files()}
    listed = tmp / ("lists" if absolute else "") / f"animals{suffix}"
    listed.parent.mkdir(exist_ok=True)
    if suffix == ".parquet":
        pq.write_table(pa.table({"path": list(rows), "class": list(rows.values())}), listed)
    else:
        listed.write_text("path,class\n" + "".join(f"{path},{label}\n" for path, label in rows.items()))
    return listed


def zipped(tmp: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(tmp / "animals.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in reversed(files().items()):
            archive.writestr(prefix + path, content)
    return tmp / "animals.zip"


def tarred(tmp: Path, suffix: str, mode: str) -> Path:
    with tarfile.open(tmp / f"animals{suffix}", mode) as archive:  # type: ignore[call-overload]
        for path, content in files().items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return tmp / f"animals{suffix}"


def arrays() -> tuple[np.ndarray, np.ndarray]:
    x = np.stack([image(label, i) for label in range(3) for i in range(PER_CLASS)])
    return x, np.repeat(np.arange(3), PER_CLASS)


def npz(tmp: Path) -> Path:
    x, y = arrays()
    np.savez(tmp / "animals.npz", x=x, y=y, class_names=np.array(CLASSES))
    return tmp / "animals.npz"


def idx_bytes(array: np.ndarray) -> bytes:
    codes = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    header = struct.pack(f">HBB{array.ndim}I", 0, codes[str(array.dtype)], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def idx(tmp: Path, gz: bool = False) -> Path:
    x, y = arrays()
    root = tmp / "idx"
    root.mkdir()
    contents = {
        "train-images-idx3-ubyte": x[..., 0],
        "train-labels-idx1-ubyte": y.astype(np.uint8),
        "t10k-images-idx3-ubyte": 255 - x[::2, ..., 0],
        "t10k-labels-idx1-ubyte": y[::2].astype(np.uint8),
    }
    for name, array in contents.items():
        content = idx_bytes(np.ascontiguousarray(array))
        (root / (name + (".gz" if gz else ""))).write_bytes(gzip.compress(content) if gz else content)
    return root


# The same 24 pictures as files.
FILE_SOURCES: dict[str, Callable[[Path], Path]] = {
    "folder": folder,
    "renamed folder": folder_backwards,
    "labels.csv": flat,
    "table": table,
    "table elsewhere": lambda tmp: table(tmp, absolute=True),
    "parquet": lambda tmp: table(tmp, ".parquet"),
    "zip": zipped,
    "zip with a folder around": lambda tmp: zipped(tmp, "wrapped/once more/"),
    "tar": lambda tmp: tarred(tmp, ".tar", "w"),
    "tar.gz": lambda tmp: tarred(tmp, ".tar.gz", "w:gz"),
    "tar.xz": lambda tmp: tarred(tmp, ".tar.xz", "w:xz"),
}
ARRAY_SOURCES: dict[str, Callable[[Path], Path]] = {
    "npz": npz,
    "idx": idx,
    "idx.gz": lambda tmp: idx(tmp, gz=True),
}


def png16(pixels: np.ndarray) -> bytes:
    """(h, w, 1 gray, 2 gray and alpha, 3 RGB or 4 RGBA) uint16 as a PNG of 16 bits; Pillow writes gray ones only."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff16(pixels: np.ndarray, order: str, photometric: int = 2, extra: int | None = None) -> bytes:
    """(h, w, c) uint16 as a TIFF of byte order ``<`` or ``>``; ``extra`` says what a fourth channel is."""
    height, width, channels = pixels.shape
    body = pixels.astype(f"{order}u2").tobytes()
    extras = [] if extra is None else [(338, 3, extra)]
    tags = [(256, 3, width), (257, 3, height), (258, 3, 0), (259, 3, 1), (262, 3, photometric), (273, 4, 8)]
    tags += [(277, 3, channels), (278, 3, height), (279, 4, len(body)), *extras]
    directory = 8 + len(body)
    bits = directory + 2 + 12 * len(tags) + 4
    out = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, directory) + body
    out += struct.pack(f"{order}H", len(tags))
    for tag, kind, value in tags:
        if tag == 258:
            out += struct.pack(f"{order}HHII", tag, kind, channels, bits)
        elif kind == 3:
            out += struct.pack(f"{order}HHIHH", tag, kind, 1, value, 0)
        else:
            out += struct.pack(f"{order}HHII", tag, kind, 1, value)
    return out + struct.pack(f"{order}I{channels}H", 0, *[16] * channels)
