"""PyTorch's old file format, read without PyTorch and without anything but arrays coming out of it.

A file is four pickles (a magic number, the version, sizes of C types, the dictionary of tensors), a pickle of the keys
of its storages, and each storage as its number of elements and its bytes. General unpickling could run what a file
says; here a name that is not one of four is refused, and the four make arrays.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    size: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary by name, float32 and int64.

    Args:
        content: Of the whole file.

    Raises:
        ValueError: It is not such a file, or holds anything but tensors.
    """
    try:
        return _read(io.BytesIO(content))
    except ValueError:
        raise
    except Exception as failure:  # what a damaged pickle raises can be anything
        raise ValueError(f"it cannot be read ({type(failure).__name__}: {failure})") from None


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    if _Reader(file).load() != MAGIC or _Reader(file).load() != VERSION:
        raise ValueError("it is not a file of PyTorch's old format")
    sizes = _Reader(file).load()
    if not isinstance(sizes, dict) or sizes.get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian")
    named = _Reader(file).load()
    keys = _Reader(file).load()
    if not isinstance(named, dict) or not all(isinstance(t, _Tensor) for t in named.values()):
        raise ValueError("it holds something else than tensors")
    storages = {t.storage.key: t.storage for t in named.values()}
    if not isinstance(keys, list) or sorted(keys) != sorted(storages):
        raise ValueError("its list of storages is not that of its tensors")
    values = {key: _values(file, storages[key]) for key in keys}
    return {str(name): _array(tensor, values[tensor.storage.key]) for name, tensor in named.items()}


def _values(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    (size,) = struct.unpack("<q", file.read(8))
    if size != storage.size:
        raise ValueError(f"a storage has {size} values where its tensor needs {storage.size}")
    content = file.read(size * storage.dtype.itemsize)
    if len(content) != size * storage.dtype.itemsize:
        raise ValueError("it ends too early")
    return np.frombuffer(content, storage.dtype)


def _array(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    """A tensor out of its storage; strides count elements, and must not lead out of it."""
    first, last = tensor.offset, tensor.offset
    for length, stride in zip(tensor.shape, tensor.strides, strict=True):
        if length < 0 or stride < 0:
            raise ValueError("a tensor has a negative size")
        last += max(0, length - 1) * stride
    if first < 0 or last >= max(1, len(values)):
        raise ValueError("a tensor lies outside its storage")
    strides = [s * values.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[first:], tensor.shape, strides, writeable=False)


def _rebuild(storage: Any, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


class _Reader(pickle.Unpickler):
    """Makes dictionaries, numbers and tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The four names that a file of tensors may use."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _TYPES:
            return name
        raise ValueError(f"it refers to {module}.{name}, which no file of tensors needs")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, whose values come later in the file."""
        kind, type_name, key, _, size, *_ = pid
        if kind != "storage" or type_name not in _TYPES:
            raise ValueError(f"it refers to {kind!r}, which is not a storage of numbers")
        return _Storage(str(key), _TYPES[type_name], int(size))
