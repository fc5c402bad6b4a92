"""The start of a network that does not learn: what it makes of each picture is computed once and kept.

With a frozen backbone nearly all of the work is in that start, so that every epoch, every other setting and every
evaluation after the first takes a fraction of a second. An entry of the cache belongs to the weights and layers of the
start, and its rows to the pixels of a picture; nothing else decides what they hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from conviction.backend import import_keras
from conviction.data import ImageSet
from conviction.data.cache import FEATURES, key_of, load_features, save_features
from conviction.model.probabilities import average, predict_probabilities
from conviction.model.views import views_of

if TYPE_CHECKING:
    import keras

# Pictures that are computed together: always as many, so that no row depends on which others are missing.
BATCH = 64


@dataclass(frozen=True)
class Parted:
    """A network as two, which share its layers.

    Attributes:
        start: From pixels, (n, h, w, c) uint8, to features; it does not learn.
        rest: From features, float32, to the output.
        key: Of its features in the cache.
    """

    start: keras.Sequential
    rest: keras.Sequential
    key: str


# Of networks that are in use: another model of the same layers would be compiled again.
_PARTED: MutableMapping[Any, Parted | None] = WeakKeyDictionary()


def part(model: keras.Sequential) -> Parted | None:
    """Parts a network behind the frozen backbone that it begins with; None if it does not begin with one."""
    if model not in _PARTED:
        _PARTED[model] = _part(model)
    return _PARTED[model]


def _part(model: keras.Sequential) -> Parted | None:
    keras = import_keras()
    layers = list(model.layers)
    count = 0
    while count < len(layers) - 1 and _is_fixed(layers[count]):
        count += 1
    if not any(isinstance(layer, keras.Model) for layer in layers[:count]):
        return None
    start = keras.Sequential(
        [keras.Input(model.input_shape[1:], dtype="uint8"), *layers[:count]], name="start"
    )
    features = keras.Input(start.output_shape[1:], dtype="float32", name="features")
    rest = keras.Sequential([features, *layers[count:]], name=model.name)
    return Parted(start, rest, _key(start))


def _is_fixed(layer: keras.Layer) -> bool:
    """Whether a layer always makes the same of the same picture, in training as well."""
    return not layer.trainable_variables and type(layer).__name__ != "Dropout"


def _key(start: keras.Sequential) -> str:
    keras = import_keras()
    digest = hashlib.blake2b(digest_size=16)
    for weights in start.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    kinds = [type(layer).__name__ for layer in start.layers]
    scaling = json.dumps(start.layers[0].get_config(), sort_keys=True, default=str)
    versions = (keras.__version__, keras.backend.backend())
    return key_of(FEATURES, digest.hexdigest(), kinds, scaling, start.input_shape, versions)


@dataclass(frozen=True)
class Version:
    """A version of each picture.

    Attributes:
        key: What it depends on beside the picture; plain values.
        vary: From (n, h, w, c) uint8 to the same; each row depends on its own picture alone.
    """

    key: tuple[Any, ...]
    vary: Callable[[np.ndarray], np.ndarray]


AS_IT_IS = Version((), lambda pixels: pixels)


def features_of(
    parted: Parted,
    images: ImageSet,
    indices: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """What the start makes of pictures.

    Args:
        parted: From ``part``.
        images: The whole set.
        indices: Which of them are needed.
        progress: Receives how many of how many pictures that were not in the cache have been computed.

    Returns:
        (n, ...) float32 for the whole set, zero where a picture was not asked for.
    """
    return features_of_versions(parted, images, indices, [AS_IT_IS], progress)[0]


def features_of_versions(
    parted: Parted,
    images: ImageSet,
    indices: np.ndarray,
    views: Sequence[Version],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """The same for several versions of each picture: (views, n, ...) float32; ``progress`` counts versions."""
    out = np.zeros((len(views), len(images), *parted.start.output_shape[1:]), np.float32)
    keys = [key_of(FEATURES, parted.key, *view.key) if view.key else parted.key for view in views]
    wanted = np.unique(indices)
    missing = [_fill(rows, key, images, wanted) for rows, key in zip(out, keys, strict=True)]
    done, total = 0, sum(map(len, missing))
    for rows, view, key, lacking in zip(out, views, keys, missing, strict=True):
        for first in range(0, len(lacking), BATCH):
            chosen = lacking[first : first + BATCH]
            pixels = np.zeros((BATCH, *images.pixels.shape[1:]), np.uint8)
            pixels[: len(chosen)] = view.vary(images.pixels[chosen])
            rows[chosen] = np.asarray(parted.start.predict_on_batch(pixels))[: len(chosen)]
            done += len(chosen)
            progress(done, total)
        if len(lacking):
            backbone = parted.start.layers[1].name
            save_features(
                key, f"{images.name}: features by {backbone}", images.pixel_hashes[lacking], rows[lacking]
            )
    return out


def predict_images(
    model: keras.Sequential, images: ImageSet, indices: np.ndarray, views: int = 1
) -> np.ndarray:
    """As ``predict_probabilities``; what a frozen start makes of the images comes from the cache.

    Returns:
        (len(indices), classes) float32, rows summing to 1.
    """
    parted = part(model)
    if parted is None:
        return predict_probabilities(model, images.pixels, indices, views)
    height, width = images.pixels.shape[1:3]
    by_view = [
        predict_probabilities(
            parted.rest, features_of_versions(parted, images, indices, [version])[0], indices
        )
        for version in (
            Version(("view", number) if number else (), view.of)
            for number, view in enumerate(views_of(views, height, width))
        )
    ]
    return average(by_view)


def _fill(out: np.ndarray, key: str, images: ImageSet, wanted: np.ndarray) -> np.ndarray:
    """Writes the rows that the cache has; returns the indices of the others."""
    places: dict[bytes, list[int]] = {}
    for index in wanted:
        places.setdefault(images.pixel_hashes[index].tobytes(), []).append(int(index))
    for content, row in load_features(key, out.shape[1:]):
        out[places.pop(content, [])] = row
    return np.array(sorted(i for rows in places.values() for i in rows), np.int64)
