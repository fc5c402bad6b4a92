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


def source_path(given: Source) -> str | Path:
    """A source that every command takes, for what a Python user gives.

    Args:
        given: See ``EXPECTED``. A name or path comes back as it is.

    Raises:
        RequestError: It is something else, or its images or labels cannot be used.
        StorageError: The cache cannot be written.

    >>> source_path("digits")
    'digits'
    >>> source_path((np.zeros((4, 8, 8), "uint8"), [0, 1, 0, 1])).suffix
    '.npz'
    """
    if isinstance(given, str):
        return given
    if isinstance(given, os.PathLike):
        return Path(given)
    for _, accepts, write in KINDS:
        if accepts(given):
            return write(given)
    raise RequestError(f"source: expected {EXPECTED}; got {type_name(given)}.")


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) in (2, 3) and is_array(given[0])


def _is_split_pairs(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and all(_is_pair(g) and len(g) == 2 for g in given)


def _write_pair(given: Any) -> Path:
    return write_arrays({"": (given[0], given[1])}, given[2] if len(given) == 3 else None)


def _write_split_pairs(given: Any) -> Path:
    return write_arrays({"train": given[0], "test": given[1]}, None)


def _write_mapping(given: Mapping[str, Any]) -> Path:
    pairs = array_pairs(given.keys(), "source")
    parts = {part: (given[x], given[y]) for part, (x, y) in pairs.items()}
    return write_arrays(parts, given.get(CLASS_NAMES))


def _write_image_set(images: ImageSet) -> Path:
    parts = {
        str(part): (images.pixels[images.parts == part], images.labels[images.parts == part])
        for part in np.unique(images.parts)
    }
    if "" in parts and len(parts) > 1:
        raise RequestError("source: some images of this ImageSet have a part, and others have none.")
    return write_arrays(parts, images.class_names)


def _is_examples(given: Any) -> bool:
    return (
        isinstance(given, list)
        and bool(given)
        and all(isinstance(one, list | tuple) and len(one) == 2 for one in given[:100])
    )


def _write_list(given: Sequence[Any]) -> Path:
    for number, one in enumerate(given):
        if not isinstance(one, list | tuple) or len(one) != 2:
            raise RequestError(
                f"source: expected (picture, label) at {number} of the list; got {type_name(one)}."
            )
    return write_examples(Example(picture, class_of(label)) for picture, label in given)


def _is_frame(given: Any) -> bool:
    return datasets.comes_from("pandas", given) or datasets.comes_from("polars", given)


KINDS: list[tuple[str, Callable[[Any], bool], Callable[[Any], Path]]] = [
    ("ImageSet", lambda given: isinstance(given, ImageSet), _write_image_set),
    ("arrays by part", _is_split_pairs, _write_split_pairs),
    ("arrays", _is_pair, _write_pair),
    ("DataFrame", _is_frame, datasets.write_frame),
    (
        "Hugging Face Dataset",
        lambda given: datasets.comes_from("datasets", given),
        datasets.write_hugging_face,
    ),
    ("mapping of arrays", lambda given: isinstance(given, Mapping), _write_mapping),
    ("tf.data.Dataset", lambda given: hasattr(given, "as_numpy_iterator"), datasets.write_tensorflow),
    (
        "PyDataset",
        lambda given: hasattr(given, "num_batches") and hasattr(given, "__getitem__"),
        datasets.write_py_dataset,
    ),
    ("PyTorch Dataset", lambda given: datasets.comes_from("torch", given), datasets.write_torch),
    ("list of (picture, label)", _is_examples, _write_list),
]
