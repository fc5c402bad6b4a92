"""What people hold in memory, written once as a file that every command reads: arrays, tables, datasets.

A run can be resumed, exported as a program or explored only where its images can be read again, by other processes too.
So images in memory become an archive or a table below the cache folder, called by the hash of their content: the same
images are written once, whoever gives them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from conviction.data import datasets
from conviction.data.image_set import ImageSet
from conviction.data.kept import Example, class_of, is_array, type_name, write_arrays, write_examples
from conviction.data.npz import CLASS_NAMES, array_pairs
from conviction.errors import RequestError

# What ``EXPECTED`` lists: the classes of other libraries cannot be named without importing them.
Source: TypeAlias = Any
EXPECTED = (
    "a name or a path; (x, y) or (x, y, class_names) as arrays; ((x_train, y_train), (x_test, y_test)); a mapping of "
    "arrays named as in an .npz; a list of (picture, label), where a picture is a path, an array, a PIL image or the "
    "bytes of a file; a pandas or Polars DataFrame with the columns file or image, and label; a tf.data.Dataset, "
    "keras PyDataset, PyTorch Dataset or Hugging Face Dataset of images and labels; or an ImageSet"
)


def source_path(value: Source) -> str | Path:
    """A source that every command takes, for what a Python user gives.

    Args:
        value: See ``EXPECTED``. A name or path comes back as it is.

    Raises:
        RequestError: It is something else, or its images or labels cannot be used.
        StorageError: The cache cannot be written.

    >>> source_path("digits")
    'digits'
    >>> source_path((np.zeros((4, 8, 8), "uint8"), [0, 1, 0, 1])).suffix
    '.npz'
    """
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return Path(value)
    for _, accepts, write in KINDS:
        if accepts(value):
            return write(value)
    raise RequestError(f"source: expected {EXPECTED}; got {type_name(value)}.")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) in (2, 3) and is_array(value[0])


def _is_split_pairs(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_is_pair(g) and len(g) == 2 for g in value)


def _write_pair(value: Any) -> Path:
    return write_arrays({"": (value[0], value[1])}, value[2] if len(value) == 3 else None)


def _write_split_pairs(value: Any) -> Path:
    return write_arrays({"train": value[0], "test": value[1]}, None)


def _write_mapping(value: Mapping[str, Any]) -> Path:
    pairs = array_pairs(value.keys(), "source")
    parts = {part: (value[x], value[y]) for part, (x, y) in pairs.items()}
    return write_arrays(parts, value.get(CLASS_NAMES))


def _write_image_set(images: ImageSet) -> Path:
    if images.groups is not None:  # for which arrays have no place
        names = (images.class_names[label] for label in images.labels)
        rows = zip(images.pixels, names, images.parts, images.groups, strict=True)
        return write_examples(Example(p, name, str(part), str(group)) for p, name, part, group in rows)
    parts = {
        str(part): (images.pixels[images.parts == part], images.labels[images.parts == part])
        for part in np.unique(images.parts)
    }
    if "" in parts and len(parts) > 1:
        raise RequestError("source: some images of this ImageSet have a part, and others have none.")
    return write_arrays(parts, images.class_names)


def _is_examples(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, list | tuple) and len(one) == 2 for one in value[:100])
    )


def _write_list(value: Sequence[Any]) -> Path:
    for number, one in enumerate(value):
        if not isinstance(one, list | tuple) or len(one) != 2:
            raise RequestError(
                f"source: expected (picture, label) at {number} of the list; got {type_name(one)}."
            )
    return write_examples(Example(picture, class_of(label)) for picture, label in value)


def _is_frame(value: Any) -> bool:
    return datasets.comes_from("pandas", value) or datasets.comes_from("polars", value)


KINDS: list[tuple[str, Callable[[Any], bool], Callable[[Any], Path]]] = [
    ("ImageSet", lambda value: isinstance(value, ImageSet), _write_image_set),
    ("arrays by part", _is_split_pairs, _write_split_pairs),
    ("arrays", _is_pair, _write_pair),
    ("DataFrame", _is_frame, datasets.write_frame),
    (
        "Hugging Face Dataset",
        lambda value: datasets.comes_from("datasets", value),
        datasets.write_hugging_face,
    ),
    ("mapping of arrays", lambda value: isinstance(value, Mapping), _write_mapping),
    ("tf.data.Dataset", lambda value: hasattr(value, "as_numpy_iterator"), datasets.write_tensorflow),
    (
        "PyDataset",
        lambda value: hasattr(value, "num_batches") and hasattr(value, "__getitem__"),
        datasets.write_py_dataset,
    ),
    ("PyTorch Dataset", lambda value: datasets.comes_from("torch", value), datasets.write_torch),
    ("list of (picture, label)", _is_examples, _write_list),
]
