"""Datasets of other libraries, and DataFrames, as labelled pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conviction.data.kept import Example, class_of, named_class, text_of, type_name, write_examples
from conviction.data.layout import PART_WORDS
from conviction.data.table import FILE_COLUMNS, GROUP_COLUMNS, LABEL_COLUMNS, PART_COLUMNS
from conviction.errors import RequestError

_PICTURE_COLUMNS = (*FILE_COLUMNS, "img", "picture")


def comes_from(package: str, value: Any) -> bool:
    """Whether a class of the value is of a package, without importing it."""
    return any(c.__module__.partition(".")[0] == package for c in type(value).__mro__)


def write_frame(frame: Any) -> Path:
    """A DataFrame of pandas or Polars, by the names of its columns; raises as ``write_examples``."""
    columns = {str(name).strip().lower(): name for name in frame.columns}
    if len(columns) < len(frame.columns):
        raise RequestError(
            "source: expected a DataFrame whose columns have different names; got "
            f"{', '.join(map(str, frame.columns))}."
        )
    unused = set(columns)

    def values(names: Sequence[str]) -> list[Any] | None:
        name = next((n for n in names if n in columns), None)
        unused.discard(name or "")
        return None if name is None else list(frame[columns[name]])

    pictures, labels = values(_PICTURE_COLUMNS), values(LABEL_COLUMNS)
    if pictures is None or labels is None:
        raise RequestError(
            "source: expected a DataFrame with a column 'file' (or 'image') and a column 'label'; got "
            f"{', '.join(map(str, columns)) or 'none'}."
        )
    empty = [""] * len(pictures)
    parts, groups = values(PART_COLUMNS) or empty, values(GROUP_COLUMNS) or empty
    examples = (
        Example(picture, class_of(label), part_of(part), text_of(group))
        for picture, label, part, group in zip(pictures, labels, parts, groups, strict=True)
    )
    return write_examples(examples, [c for c in columns if c in unused])


def part_of(word: Any) -> str:
    """The part that a split column's word stands for, "" for none; raises ``RequestError`` for another word."""
    text = text_of(word).lower()
    if text and text not in PART_WORDS:
        raise RequestError(f"source: expected train, validation or test as split; got '{text:.80}'.")
    return PART_WORDS.get(text, "")


def write_tensorflow(dataset: Any) -> Path:
    """A ``tf.data.Dataset`` of (image, label), batched or not; raises as ``write_examples``."""
    if int(dataset.cardinality()) == -1:
        raise RequestError("source: this tf.data.Dataset has no end. Leave out repeat(), or give it take(n).")
    names = getattr(dataset, "class_names", None)
    return write_examples(_unbatched(dataset.as_numpy_iterator(), names))


def write_py_dataset(dataset: Any) -> Path:
    """A ``keras.utils.PyDataset`` of batches; raises as ``write_examples``."""
    if dataset.num_batches is None:
        raise RequestError("source: this PyDataset has no end; expected num_batches to be a number.")
    return write_examples(_unbatched(dataset[i] for i in range(dataset.num_batches)))


def write_torch(dataset: Any) -> Path:
    """A map-style dataset of PyTorch; raises as ``write_examples``."""
    if not hasattr(dataset, "__len__"):
        raise RequestError("source: expected a PyTorch Dataset with a length, of (image, label).")
    names = getattr(dataset, "classes", None)
    items = (dataset[i] for i in range(len(dataset)))
    return write_examples(Example(_channels_last(x), named_class(y, names)) for x, y in _pairs(items))


def _channels_last(picture: Any) -> Any:
    """A tensor of PyTorch, (c, h, w), as (h, w, c); floats between 0 and 1, as ToTensor makes them, as uint8."""
    if not comes_from("torch", picture):
        return picture
    array = picture.numpy()
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)  # (c, h, w) -> (h, w, c)
    if array.dtype.kind == "f":
        if array.min() < 0 or array.max() > 1:
            raise RequestError(
                "source: expected the pixels of a PyTorch Dataset from 0 to 1; leave out Normalize."
            )
        array = np.rint(array * 255).astype(np.uint8)
    return array


def write_hugging_face(dataset: Any) -> Path:
    """A dataset of Hugging Face, or a mapping of one for each part; raises as ``write_examples``."""
    if isinstance(dataset, Mapping):
        return write_examples(
            itertools.chain.from_iterable(_hugging_face(d, part) for part, d in dataset.items())
        )
    return write_examples(_hugging_face(dataset, ""))


def _hugging_face(dataset: Any, part: str) -> Iterator[Example]:
    columns = {name.lower(): name for name in dataset.features}
    picture = next((columns[n] for n in _PICTURE_COLUMNS if n in columns), None)
    label = next((columns[n] for n in (*LABEL_COLUMNS, "labels", "fine_label") if n in columns), None)
    if picture is None or label is None:
        raise RequestError(f"source: expected the columns image and label; got {', '.join(columns)}.")
    names = getattr(dataset.features[label], "names", None)
    for row in dataset:
        yield Example(row[picture], named_class(row[label], names), part_of(part))


def _pairs(items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise RequestError(f"source: expected a dataset of (image, label); got {type_name(item)}.")
        yield item[0], item[1]


def _unbatched(items: Iterable[Any], names: Sequence[str] | None = None) -> Iterator[Example]:
    for x, y in _pairs(items):
        if np.ndim(x) == 4:  # a batch, (n, h, w, c)
            yield from (
                Example(_whole(one), named_class(label, names)) for one, label in zip(x, y, strict=True)
            )
        else:
            yield Example(_whole(x), named_class(y, names))


def _whole(picture: Any) -> np.ndarray:
    """Floats from 0 to 255, as Keras's loaders give them, as uint8."""
    array = np.asarray(picture)
    if array.dtype.kind == "f":
        if array.min() < 0 or array.max() > 255 or 0 < array.max() <= 1:
            raise RequestError(
                "source: expected the pixels of a dataset from 0 to 255; leave out the scaling, which is part of the "
                "network here."
            )
        array = np.rint(array).astype(np.uint8)
    return array
