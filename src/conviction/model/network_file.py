"""What a ``.keras`` file of ours holds, and whether that is all; looked at before Keras or HDF5 makes anything of it.

Keras's safe mode refuses code. It does not refuse a layer that takes all memory, a class from another module, or
weights that are not there; so only the classes, modules and settings that ``save`` writes for our networks are let
through, and no more weights than the file has.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from conviction.errors import listed_names, printable

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# The description of the largest of our networks has 0.5 MB.
MOST_CONFIG_BYTES = 4_000_000
# The largest has 200 layers of its own after the 270 of a backbone; ConvNeXt is a network of networks, so a run with
# it is three deep.
MOST_LAYERS, MOST_NETWORKS_DEEP = 600, 3
# Its weights are 700 arrays, some levels of groups down.
MOST_ARRAYS, MOST_GROUPS_DEEP = 10_000, 16
# Filters, units, kernels and pools have at most 65,536; a picture, 4096 x 4096 pixels.
MOST_SIZE, MOST_PIXELS = 65_536, 2**24
MOST_TEXT = 500
# These may be any.
NUMBERS = ("seed", "shared_object_id")
# Of the file of weights; an integer is a seed or the step of an optimizer.
TYPES = ("float32", "int32", "int64", "uint32")

# Every class that our networks are made of, inside their layers too; a test compares.
CLASSES = frozenset(
    {
        *(
            "Sequential",
            "Functional",
            "InputLayer",
            "Rescaling",
            "Conv2D",
            "BatchNormalization",
            "Activation",
        ),
        *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "Dropout"),
        *("Flatten", "Dense", "Concatenate", "__keras_tensor__", "DTypePolicy"),
        # Of exports that average over views; "Reshape" is among those of backbones.
        *("Mean", "Permute"),
        *("GlorotUniform", "Zeros", "Ones"),
        # Of backbones alone.
        *("Add", "DepthwiseConv2D", "LayerNormalization", "LayerScale", "Multiply", "ReLU", "Reshape"),
        *("VarianceScaling", "ZeroPadding2D"),
    }
)
MODULES = frozenset(
    {
        *(None, "keras", "keras.layers", "keras.initializers", "keras.src.models.functional"),
        *("keras.src.applications.convnext", "keras.src.ops.numpy"),
    }
)
OUTER = frozenset(
    {
        *("class_name", "config", "module", "registered_name", "build_config"),
        *("name", "inbound_nodes", "shared_object_id", "compile_config"),
    }
)
REGISTERED = frozenset({None, "Add", "Functional", "LayerScale", "Mean", "Multiply", "Reshape"})


# How a network of a run was compiled: optimizers, their schedule, losses and metrics, which have no layers.
COMPILED = frozenset(
    {
        *("Adam", "AdamW", "RMSprop", "SGD", "CosineDecay", "PolynomialDecay", "DTypePolicy"),
        *("BinaryAccuracy", "BinaryCrossentropy", "CategoricalCrossentropy"),
    }
)
COMPILED_MODULES = frozenset(
    {
        *(None, "builtins", "keras", "keras.losses", "keras.metrics"),
        *("keras.optimizers", "keras.optimizers.schedules"),
    }
)


# What else a network that a user has built may have: layers of Keras that read no file and hold no code.
OWN_CLASSES = CLASSES | frozenset(
    {
        *(
            "Conv1D",
            "Conv2DTranspose",
            "SeparableConv2D",
            "GlobalMaxPooling2D",
            "GlobalMaxPool2D",
            "GlobalAvgPool2D",
        ),
        *(
            "ELU",
            "LeakyReLU",
            "PReLU",
            "Softmax",
            "GroupNormalization",
            "UnitNormalization",
            "SpectralNormalization",
        ),
        *("SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization"),
        *(
            "Average",
            "Dot",
            "Maximum",
            "Minimum",
            "Subtract",
            "Permute",
            "RepeatVector",
            "Cropping2D",
            "UpSampling2D",
        ),
        *(
            "RandomFlip",
            "RandomRotation",
            "RandomZoom",
            "RandomTranslation",
            "RandomContrast",
            "RandomBrightness",
        ),
        *(
            "Normalization",
            "Resizing",
            "CenterCrop",
            "EinsumDense",
            "MultiHeadAttention",
            "Attention",
            "Identity",
        ),
        *(
            "GlorotNormal",
            "HeNormal",
            "HeUniform",
            "LecunNormal",
            "LecunUniform",
            "RandomNormal",
            "RandomUniform",
        ),
        *("TruncatedNormal", "Orthogonal", "Constant", "L1", "L2", "L1L2", "MaxNorm", "NonNeg", "UnitNorm"),
        *(
            "Mean",
            "Max",
            "Min",
            "Sum",
            "Transpose",
            "Divide",
            "TrueDivide",
            "Power",
            "Relu",
            "Sigmoid",
            "Silu",
            "Gelu",
        ),
        "SeedGenerator",
    }
)
OWN_MODULES = MODULES | frozenset(
    {
        *(
            "keras.regularizers",
            "keras.constraints",
            "keras.random",
            "keras.src.ops.nn",
            "keras.src.ops.math",
        ),
        *("keras.src.models.sequential", "keras.src.random.seed_generator", "builtins"),
    }
)


class NetworkFileError(ValueError):
    """A ``.keras`` file holds what none of our networks has; the message is a clause about the file."""


def checked_network(content: bytes, card: str, own: Collection[str] | None = None) -> dict[str, Any]:
    """The description of the network in a ``.keras`` file, after all of it has been looked at.

    Args:
        content: Of the file.
        card: The name of the member in which we keep what the network means.
        own: Of a network that a user has built, the classes with code of their own, by the names under which this
            process has them registered; None for a network of ours.

    Raises:
        NetworkFileError: It has parts that none of our networks has, or more than any of them.
        Exception: It is damaged; zipfile, json and h5py have many kinds.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        known = (CONFIG, METADATA, WEIGHTS, card)
        if sorted(m.filename for m in members) != sorted(known):
            raise NetworkFileError("has other members than a network of ours")
        # As ours are; so no member becomes larger than its file.
        if any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise NetworkFileError("has compressed members, and ours are kept as they are")
        if any(archive.getinfo(name).file_size > MOST_CONFIG_BYTES for name in (CONFIG, METADATA, card)):
            raise NetworkFileError("describes a larger network than any of ours")
        config = json.loads(archive.read(CONFIG))
        weights = archive.read(WEIGHTS)
        if archive.testzip() is not None:
            raise zipfile.BadZipFile
    if not isinstance(config, dict):
        raise NetworkFileError("has no description of a network")
    declared = _check_config(config, own)
    numbers = check_arrays(weights)
    if declared > numbers:
        raise NetworkFileError(f"describes layers with {declared:,} weights, and has {numbers:,}")
    return config


def _check_config(config: Any, own: Collection[str] | None) -> int:
    """How many weights the description asks for."""
    odd, layers, weights = set(), 0, 0
    waiting = [(config, 0)]  # not a recursion, which a deep configuration would end
    while waiting:
        part, deep = waiting.pop()
        if isinstance(part, dict) and "class_name" in part:
            odd |= set(_odd(part) if own is None else _odd_of_own(part, own))
            weights += _weights(part) if not odd else 0
        if isinstance(part, dict):
            if isinstance(part.get("layers"), list):
                layers, deep = layers + len(part["layers"]), deep + 1
            if deep > MOST_NETWORKS_DEEP or layers > MOST_LAYERS:
                raise NetworkFileError("describes a larger network than any of ours")
            odd |= {
                f"a large {key}" for key, value in part.items() if key not in NUMBERS and _is_large(value)
            }
            # Of a network, and in a run of the backbone within it.
            if own is None:
                _check_compiled(part.get("compile_config"))
            elif part.get("compile_config"):
                odd.add("compile_config")
            part = {key: value for key, value in part.items() if key != "compile_config"}
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        odd |= {"a large number" for value in inner if isinstance(part, list) and _is_large(value)}
        waiting += [(value, deep) for value in inner]
    if odd:
        raise NetworkFileError(f"has parts that none of our networks has ({listed_names(odd)})")
    return weights


def _check_compiled(config: Any) -> None:
    odd: set[str] = set()
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict) and "class_name" in part:
            odd |= set(_odd(part, COMPILED, COMPILED_MODULES))
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += inner
    if odd:
        raise NetworkFileError(f"was compiled with what none of our networks has ({listed_names(odd)})")


def _odd(
    part: dict[str, Any],
    classes: Collection[str | None] = CLASSES,
    modules: Collection[str | None] = MODULES,
) -> Iterator[str]:
    """What of a class none of our networks has."""
    for key, known in (("class_name", classes), ("module", modules), ("registered_name", REGISTERED)):
        value = part.get(key)
        if not isinstance(value, str | None) or value not in known:
            yield printable(str(value))
    yield from (printable(key) for key in part if key not in OUTER)


def _odd_of_own(part: dict[str, Any], own: Collection[str]) -> Iterator[str]:
    """The same of a network that a user has built."""
    registered = part.get("registered_name")
    if isinstance(registered, str) and registered in own:
        yield from (printable(key) for key in part if key not in OUTER)
        return
    if registered == part.get("class_name"):  # as Keras calls its own operations
        part = {**part, "registered_name": None}
    yield from _odd(part, OWN_CLASSES, OWN_MODULES)


def _is_large(value: Any) -> bool:
    """Whether a setting is beyond those of our networks; text is a name."""
    if isinstance(value, str | list | dict):
        return len(value) > (MOST_TEXT if isinstance(value, str) else MOST_LAYERS)
    return isinstance(value, int | float) and not abs(value) <= MOST_SIZE


def _weights(part: dict[str, Any]) -> int:
    """How many numbers a layer asks for when it is built, which Keras does at once, from the shape that is stated."""
    kind = part["class_name"]
    if kind not in WEIGHTS_OF:
        return 0
    try:
        shape, config = part["build_config"]["input_shape"], part["config"]
        sides = [int(side) for side in shape if side is not None]
        return WEIGHTS_OF[kind](sides[-1], config)
    except (ArithmeticError, KeyError, TypeError, ValueError, IndexError):
        raise NetworkFileError(f"has a layer {kind} whose input has no shape") from None


def _kernel(channels: int, config: dict[str, Any]) -> int:
    kernel = math.prod(config["kernel_size"]) * channels * config["filters"] // config["groups"]
    return kernel + config["filters"] * bool(config["use_bias"])


# From the number of channels or features that come in; of the averages of a normalisation as well.
WEIGHTS_OF: dict[str, Callable[[int, dict[str, Any]], int]] = {
    "Dense": lambda channels, config: channels * config["units"],
    "Conv2D": _kernel,
    "DepthwiseConv2D": lambda channels, config: (
        math.prod(config["kernel_size"]) * channels * config["depth_multiplier"]
    ),
    "BatchNormalization": lambda channels, config: 2 * channels,
    "LayerScale": lambda channels, config: channels,
    "Conv2DTranspose": lambda channels, config: (
        math.prod(config["kernel_size"]) * channels * config["filters"]
    ),
    "SeparableConv2D": lambda channels, config: (
        (math.prod(config["kernel_size"]) + config["filters"]) * channels * config["depth_multiplier"]
    ),
}


def check_arrays(content: bytes) -> int:
    """How many numbers a file of weights has.

    Raises:
        NetworkFileError: It has more than groups of whole, finite arrays.
        Exception: It is damaged; h5py has many kinds.
    """
    import h5py

    numbers, count = 0, 0
    seen: set[int] = set()
    with h5py.File(io.BytesIO(content), "r") as file:
        waiting: list[tuple[Any, int]] = [(file, 0)]
        while waiting:
            group, deep = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            count += len(group)
            if address in seen or deep > MOST_GROUPS_DEEP or count > MOST_ARRAYS:
                raise NetworkFileError("has weights in more groups than any of ours")
            seen.add(address)
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise NetworkFileError("has weights that are elsewhere")
                child = group[name]
                if isinstance(child, h5py.Group):
                    waiting.append((child, deep + 1))
                else:
                    numbers += _check_array(child, len(content))
    return numbers


def _check_array(array: Any, most: int) -> int:
    """The number of its numbers, all of which are in the file, and finite."""
    if not hasattr(array, "shape") or array.shape is None or str(array.dtype) not in TYPES:
        raise NetworkFileError("has weights of a type that ours have not")
    if array.external or array.is_virtual or array.chunks is not None:
        raise NetworkFileError("has weights that are elsewhere or in pieces, and ours are kept as they are")
    size = math.prod(array.shape) * array.dtype.itemsize
    if size > most or size != array.id.get_storage_size():
        raise NetworkFileError(f"declares {size:,} bytes of weights in an array, and has fewer")
    values = array[()]
    if array.dtype.kind == "f" and not np.isfinite(values).all():
        raise NetworkFileError("has weights that are not finite numbers")
    return int(values.size)
