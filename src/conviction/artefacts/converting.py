"""A process with the TensorFlow backend that writes artefacts from a run's float32 model.

    python -m conviction.artefacts.converting JOB.json

The JOB has ``model`` (a ``model.keras``), ``own`` (of a network that a user has built, the names of its classes; or
null), ``code`` (a file with these classes, or null), ``views`` (``evaluation.views``), ``calibration`` (an npy of
pixels, or null) and ``artefacts``, each with ``format``, ``path`` and ``card``. Whatever backend and precision trained
the network, this one writes all formats.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.artefacts.card import parse_card
from conviction.artefacts.formats import FORMATS
from conviction.backend import import_keras, quiet_stderr
from conviction.errors import ArtefactError, ConvictionError
from conviction.model.network_file import NetworkFileError, checked_network
from conviction.model.own_classes import read_classes
from conviction.model.views import average_views, stack_views
from conviction.process import own_process
from conviction.runs.folder import MODEL_CARD

if TYPE_CHECKING:
    import keras


def one_output_a_class(model: keras.Sequential, views: int = 1) -> keras.Model:
    """The network with a probability for each class: one sigmoid unit p becomes (1 - p, p).

    Its layers are those of the run, but for ``in_plain_convolutions`` and what averaging over ``views`` adds; it has no
    state of training, and has been called, which exporters ask for.
    """
    keras = import_keras()
    pixels = keras.Input(model.input_shape[1:], dtype="uint8", name="pixels")
    probabilities = pixels if views == 1 else stack_views(pixels, views)
    for layer in model.layers:
        probabilities = layer(probabilities)
    if views > 1:
        probabilities = average_views(probabilities, views)
    if model.output_shape[-1] == 1:
        other = keras.layers.Rescaling(scale=-1.0, offset=1.0, name="other", dtype="float32")(probabilities)
        probabilities = keras.layers.Concatenate(name="probabilities", dtype="float32")(
            [other, probabilities]
        )
    whole = in_plain_convolutions(keras.Model(pixels, probabilities, name="cnn"))
    whole(np.zeros((1, *model.input_shape[1:]), np.uint8))
    return whole


def in_plain_convolutions(model: keras.Model) -> keras.Model:
    """The same function with convolutions that every runtime has, in place of what ConvNeXt has instead.

    Convolutions with a group for each channel become depthwise ones: Keras leaves the former to XLA, as an operation
    that only TensorFlow has. Dense layers on maps become convolutions of 1x1, without the reshapes around them.
    """
    keras = import_keras()
    replaced: list[tuple[Any, Any]] = []  # layers and what replaces them

    def plain(layer: Any) -> Any:
        kind, config = type(layer).__name__, layer.get_config()
        options = {key: config[key] for key in ("name", "dtype", "activation", "use_bias") if key in config}
        if kind == "Conv2D" and layer.groups > 1:
            options |= {key: config[key] for key in ("kernel_size", "strides", "padding")}
            other = keras.layers.DepthwiseConv2D(**options)
        elif kind == "Dense" and len(layer.input.shape) == 4:
            other = keras.layers.Conv2D(layer.units, 1, **options)
        else:
            return layer
        replaced.append((layer, other))
        return other

    changed = keras.models.clone_model(model, clone_function=plain, recursive=True)
    for layer, other in replaced:
        kernel, *bias = layer.get_weights()
        # (h, w, 1, channels) -> (h, w, channels, 1); (in, out) -> (1, 1, in, out)
        other.set_weights([kernel.reshape(other.kernel.shape), *bias])
    return changed if replaced else model


def convert(job: dict[str, Any]) -> None:
    """Writes what the job names.

    Raises:
        ConvictionError: A package that is an extra is missing, or the model holds what none of our networks has.
    """
    model_file = Path(job["model"])
    if job["code"]:
        read_classes(Path(job["code"]))
    try:
        checked_network(model_file.read_bytes(), MODEL_CARD, job["own"])
    except NetworkFileError as failure:
        raise ArtefactError(f"{model_file}: {failure}, so it is not opened.") from None
    keras = import_keras()
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keras.models.load_model(model_file, safe_mode=True, compile=False)
    whole = one_output_a_class(model, job["views"])
    pixels_file = job["calibration"]
    calibration = (
        np.load(pixels_file, allow_pickle=False)
        if pixels_file
        else np.empty((0, *whole.input_shape[1:]), np.uint8)
    )
    for asked in job["artefacts"]:
        card = parse_card(json.dumps(asked["card"]), asked["path"])
        FORMATS[asked["format"]].write(whole, Path(asked["path"]), card, calibration)


def main(job: str) -> int:
    """Converts; says on stderr why it cannot, in one line."""
    own_process()
    try:
        convert(json.loads(Path(job).read_text(encoding="utf-8")))
    except ConvictionError as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
