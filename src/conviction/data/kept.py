"""Files of the cache that hold what was given in memory: an archive of pictures, a table of paths, arrays."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conviction.data.cache import CACHE_VARIABLE, IN_MEMORY, cache_root
from conviction.data.listing import LABELS_FILE
from conviction.data.npz import CLASS_NAMES
from conviction.errors import RequestError, StorageError

_COLUMNS = ("file", "label", "split", "group")


@dataclass(frozen=True)
class Example:
    """A labelled picture: a path, the bytes of a file, a PIL image, or an array (h, w) or (h, w, c)."""

    picture: Any
    label: str | int
    part: str = ""
    group: str = ""


def write_arrays(parts: Mapping[str, tuple[Any, Any]], class_names: Sequence[str] | None) -> Path:
    """An .npz, uncompressed, of images and labels by part."""
    arrays = {}
    for part, (x, y) in parts.items():
        suffix = f"_{part}" if part else ""
        arrays[f"x{suffix}"] = _plain(np.asarray(x), "images")
        arrays[f"y{suffix}"] = _plain(np.asarray(y), "labels")
    if class_names is not None:
        arrays[CLASS_NAMES] = np.array([str(name) for name in class_names])
    identity = hashlib.blake2b(digest_size=8)
    for name, array in sorted(arrays.items()):
        identity.update(repr((name, array.shape, array.dtype.str)).encode())
        # A row at a time, because the array may be mapped from a file that is larger than the memory.
        for row in array:
            identity.update(np.ascontiguousarray(row).tobytes())
    return _write(
        f"arrays-{identity.hexdigest()}.npz", lambda file: np.savez(file, allow_pickle=False, **arrays)
    )


def _plain(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype.kind == "O":
        if array.ndim == 1 and all(isinstance(one, str) for one in array):
            return array.astype(np.str_)
        raise RequestError(
            f"source: expected the {what} as an array of numbers; got one of Python objects. Give images of different "
            "sizes as a list of (image, label)."
        )
    return array


def write_examples(examples: Iterable[Example], unused: Sequence[str] = (), *, identity: str = "") -> Path:
    """Writes pictures as they come: paths as a table, the others as an archive.

    Args:
        examples: At least one, all of them paths or none.
        unused: Columns that there were besides, whose names are listed with what is not used.
        identity: What changes when they change, where that is known before they are read; such pictures are not read
            again if they have been written.

    Raises:
        RequestError: There are none, or a picture or label cannot be used.
        StorageError: The cache cannot be written.
    """
    known = cache_root() / IN_MEMORY / f"pictures-{_digest(identity.encode())}.zip"
    if identity and known.is_file():
        return known
    rest = iter(examples)
    first = next(rest, None)
    if first is None:
        raise RequestError("source: it has no images.")
    rest = itertools.chain([first], rest)
    columns = (*_COLUMNS, *unused)
    if isinstance(first.picture, str | os.PathLike):
        return _write_table(rest, columns)
    return _write_archive(rest, columns, known if identity else None)


def _write_table(examples: Iterable[Example], columns: Sequence[str]) -> Path:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(columns)
    for number, one in enumerate(examples):
        if not isinstance(one.picture, str | os.PathLike):
            raise RequestError(
                f"source: picture {number} is {type_name(one.picture)}, and those before it are paths."
            )
        rows.writerow([os.path.abspath(Path(one.picture).expanduser()), one.label, one.part, one.group])
    content = text.getvalue().encode("utf-8", "surrogateescape")
    return _write(f"table-{_digest(content)}.csv", lambda file: file.write(content))


def _write_archive(examples: Iterable[Example], columns: Sequence[str], known: Path | None) -> Path:
    """A .zip of lossless pictures with a table of labels; nothing is held in memory but one picture."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(columns)
    contents = [repr(columns).encode()]

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for number, one in enumerate(examples):
                content, suffix = _encoded(one.picture, number)
                name = f"{number:07d}.{suffix}"
                archive.writestr(zipfile.ZipInfo(name), content)
                rows.writerow([name, one.label, one.part, one.group])
                about = repr((one.label, one.part, one.group)).encode()
                contents.append(hashlib.blake2b(content + about).digest())
            archive.writestr(zipfile.ZipInfo(LABELS_FILE), text.getvalue().encode())

    # A dataset that shuffles gives the same pictures in another order.
    return _write(
        known.name if known else lambda: f"pictures-{_digest(b''.join(sorted(contents)))}.zip", write
    )


def _encoded(picture: Any, number: int) -> tuple[bytes, str]:
    """(the content of a file, its suffix)."""
    from PIL import Image

    if isinstance(picture, bytes):
        return picture, "png"  # the name does not decide how it is decoded
    if not isinstance(picture, Image.Image):
        if not is_array(picture):
            raise RequestError(
                f"source: picture {number} is {type_name(picture)}; expected a path, an array or a PIL image."
            )
        picture = _as_image(np.asarray(picture), number)
    out = io.BytesIO()
    # Pillow writes every mode to TIFF, and not every mode to PNG.
    kind = "PNG" if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else "TIFF"
    picture.save(out, kind, **({"compress_level": 1} if kind == "PNG" else {}))
    return out.getvalue(), "png" if kind == "PNG" else "tif"


def _as_image(array: np.ndarray, number: int) -> Any:
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]  # (h, w, 1) -> (h, w)
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (3, 4))
    ):
        raise RequestError(
            f"source: picture {number} has shape {array.shape} and type {array.dtype}; expected (h, w), (h, w, 1), "
            "(h, w, 3) or (h, w, 4) of uint8 where pictures come one by one. Values of another type come as one array "
            "of images, (n, h, w, c)."
        )
    return Image.fromarray(array)


def type_name(value: Any) -> str:
    """What messages call a value: its class with its module."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def is_array(value: Any) -> bool:
    """Whether NumPy takes it for an array; a table has one too."""
    return hasattr(value, "__array__") and not hasattr(value, "columns")


def class_of(value: Any) -> str | int:
    """A class as text or a whole number; one-hot becomes its position.

    Raises:
        RequestError: It is none, a fraction, or says that a picture has several classes or none.
    """
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.ndim == 1 and array.size > 1 and array.dtype.kind in "iufb":
        if np.count_nonzero(array) != 1 or array.max() != 1:
            raise RequestError(
                f"source: the label {array.tolist()!s:.80} does not name one class: expected 1 at its position and 0 "
                "elsewhere. Conviction learns which of several classes a picture has."
            )
        return int(array.argmax())
    if array.size != 1 or array.dtype.kind not in "iufb":
        raise RequestError(f"source: expected a label to be text or a whole number; got {value!r:.80}.")
    number = array.item()
    if not math.isfinite(number) or int(number) != number:
        raise RequestError(
            f"source: the label {number!r} is no class. Conviction learns which of several classes a picture has; give "
            "each picture the name or number of one."
        )
    return int(number)


def named_class(label: Any, names: Sequence[str] | None) -> str | int:
    """As ``class_of``; a number as the name at its position, where there are names.

    Raises:
        RequestError: As ``class_of``; or there is no name at that position.
    """
    known = class_of(label)
    if names is None or isinstance(known, str):
        return known
    if not 0 <= known < len(names):
        raise RequestError(
            f"source: the label {known} has no name; there are {len(names)} class names. Leave out pictures without a "
            "label."
        )
    return str(names[known])


def text_of(value: Any) -> str:
    """The text of a cell of a table, "" where it is missing: None, NaN, or NA as pandas has it."""
    missing = value is None or (not isinstance(value, str) and str(value) in ("nan", "<NA>", "NaT"))
    return "" if missing else str(value).strip()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _write(name: str | Callable[[], str], write: Callable[[Any], Any]) -> Path:
    """A file of the cache that is complete whenever it is there; its name may be known only once it is written."""
    root = cache_root() / IN_MEMORY
    if isinstance(name, str) and (root / name).is_file():
        return root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".writing-", delete=False) as file:
            try:
                write(file)
                file.flush()
                path = root / (name if isinstance(name, str) else name())
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as failure:
        if isinstance(failure, RequestError):
            raise
        raise StorageError(
            f"{root}: the images cannot be kept there ({failure.strerror or failure}). Free some space, or name "
            f"another folder in {CACHE_VARIABLE}."
        ) from None
    return path
