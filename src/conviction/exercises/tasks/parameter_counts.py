"""Parameters: how many numbers each layer learns."""

from __future__ import annotations

from typing import Any

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def parameter_counts(layers: list[dict[str, Any]], channels: int) -> list[int]:
    """Counts what Keras's summary lists as the parameters of each layer.

    Args:
        layers: Each with its "type": "Conv2D" with "filters" and "kernel_size" (square); "BatchNormalization";
            "MaxPooling2D"; "Flatten" with "values", the length of the row that it makes; "Dense" with "units".
        channels: Of the images.

    Returns:
        A whole number for each layer.

    >>> parameter_counts([{"type": "Conv2D", "filters": 32, "kernel_size": 3}], channels=1)
    [320]
    """
    counts = []
    for layer in layers:
        if layer["type"] == "Conv2D":
            counts.append(layer["filters"] * (layer["kernel_size"] ** 2 * channels + 1))
            channels = layer["filters"]
        elif layer["type"] == "BatchNormalization":
            counts.append(4 * channels)
        elif layer["type"] == "Dense":
            counts.append(layer["units"] * (channels + 1))
            channels = layer["units"]
        else:
            counts.append(0)
            channels = layer.get("values", channels)
    return counts


def _changed(change: Any) -> Any:
    """A wrong solution that counts each layer in its own way, given the channels or values before it."""

    def wrong(layers: list[dict[str, Any]], channels: int) -> list[int]:
        counts = []
        for layer in layers:
            counts.append(change(layer, channels, parameter_counts([layer], channels)[0]))
            channels = layer.get("filters") or layer.get("units") or layer.get("values") or channels
        return counts

    return wrong


def _no_biases(layer: dict[str, Any], channels: int, count: int) -> int:
    return count - (layer.get("filters") or layer.get("units") or 0)


def _one_channel(layer: dict[str, Any], channels: int, count: int) -> int:
    return layer["filters"] * (layer["kernel_size"] ** 2 + 1) if "filters" in layer else count


def _one_bias(layer: dict[str, Any], channels: int, count: int) -> int:
    outputs = layer.get("filters") or layer.get("units")
    return count - outputs + 1 if outputs else count


def _two_for_normalisation(layer: dict[str, Any], channels: int, count: int) -> int:
    return 2 * channels if layer["type"] == "BatchNormalization" else count


def _bias_of_each_channel(layer: dict[str, Any], channels: int, count: int) -> int:
    return layer["filters"] * (layer["kernel_size"] ** 2 + 1) * channels if "filters" in layer else count


def _first_channels(layers: list[dict[str, Any]], channels: int) -> list[int]:
    counts = []
    before = channels
    for layer in layers:
        counts.append(parameter_counts([layer], channels if "filters" in layer else before)[0])
        before = layer.get("filters") or layer.get("units") or layer.get("values") or before
    return counts


def _always_first_channels(layers: list[dict[str, Any]], channels: int) -> list[int]:
    counts = []
    before = channels
    for layer in layers:
        of_images = layer["type"] in ("Conv2D", "BatchNormalization")
        counts.append(parameter_counts([layer], channels if of_images else before)[0])
        before = layer.get("filters") or layer.get("units") or layer.get("values") or before
    return counts


def _side_once(layer: dict[str, Any], channels: int, count: int) -> int:
    return layer["filters"] * (layer["kernel_size"] * channels + 1) if "filters" in layer else count


def _cases() -> list[Arguments]:
    conv = {"type": "Conv2D", "filters": 2, "kernel_size": 3}
    norm, pool = {"type": "BatchNormalization"}, {"type": "MaxPooling2D"}
    flat, dense = {"type": "Flatten", "values": 12}, {"type": "Dense", "units": 5}
    return [
        ([conv], 1),
        ([conv], 3),
        ([flat, dense], 3),
        ([conv, norm], 1),
        ([conv, {**conv, "filters": 4}], 1),
        ([conv, pool, {**conv, "filters": 4}, pool, flat, dense, {"type": "Dense", "units": 3}], 3),
        (
            [
                {**conv, "filters": 32, "kernel_size": 5},
                norm,
                pool,
                {"type": "Flatten", "values": 4608},
                dense,
            ],
            3,
        ),
    ]


EXERCISE = Exercise(
    title="Count parameters",
    chapter="architecture",
    task="A summary lists the parameters of each layer. Work them out.",
    solution=parameter_counts,
    cases=_cases,
    misconceptions=(
        Misconception(
            "no_biases", "You forgot the biases: each filter and each unit has one.", _changed(_no_biases)
        ),
        Misconception(
            "side_once",
            "Your kernels have kernel_size weights. They are square: kernel_size x kernel_size.",
            _changed(_side_once),
        ),
        Misconception(
            "one_bias",
            "You add a single bias to each layer. There is one for each filter and for each unit.",
            _changed(_one_bias),
        ),
        Misconception(
            "one_channel",
            "Your kernels have a single channel. A kernel reaches through all channels of its input: kernel_size x "
            "kernel_size x channels weights.",
            _changed(_one_channel),
        ),
        Misconception(
            "bias_of_each_channel",
            "You count a bias for each channel of the input. A filter sums over its channels and has one bias: "
            "kernel_size x kernel_size x channels + 1.",
            _changed(_bias_of_each_channel),
        ),
        Misconception(
            "first_channels",
            "Every convolution of yours sees the channels of the images. The second one sees the maps of the first: as "
            "many channels as that had filters.",
            _first_channels,
            also=(_always_first_channels,),
        ),
        Misconception(
            "two_for_normalisation",
            "You count two numbers a channel for batch normalisation, scale and offset. Keras lists four: it also "
            "keeps the moving mean and the moving variance, which are not trained.",
            _changed(_two_for_normalisation),
        ),
    ),
    hints=(
        "A filter of 3x3 on one channel has nine weights and a bias: ten parameters.",
        "Keep the number of channels as you go: after a convolution it is the number of filters.",
        "Conv2D: filters * (kernel_size**2 * channels + 1). Dense: units * (values + 1). BatchNormalization: 4 * "
        "channels.",
    ),
)
