"""What the helper process answers about networks: a run's layers, its pictures, maps and numbers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conviction.data import ImageSet
from conviction.data.decode import UnreadableImageError, decode
from conviction.data.rule import DecodingRule
from conviction.errors import ConvictionError, RequestError
from conviction.explanation import (
    Descent,
    LayerOutput,
    Passed,
    WayBack,
    activations,
    descend,
    explain_value,
    named_layers,
    outputs_within,
    passed_through,
    way_back,
)
from conviction.explanation.inside import find_layer
from conviction.flow.again import load_again
from conviction.model.probabilities import predict_probabilities
from conviction.runs import RunFolder, folder, open_run
from conviction.web.inside.calculation import Calculation, calculate
from conviction.web.inside.diagram import Diagram, diagram_of
from conviction.web.inside.gradient_tables import GradientTables, gradient_tables
from conviction.web.inside.learning import Untrained, build_again, take_checkpoint
from conviction.web.inside.small import STRIP_CHANNELS, Small, first_maps, in_rows, small

# In place of the time of the model, which a run that has not ended does not have.
LEARNING = -1
# Runs that are held at once, each with its model and mapped images.
RUNS_KEPT = 3

# A validation image by its number, or the pixels themselves, (height, width, channels) uint8.
Picture = int | np.ndarray


@dataclass(frozen=True)
class LayerSight:
    """A layer and the first of its maps.

    Attributes:
        name: As ``conviction summary`` shows it.
        kind: Its type.
        shape: Of its output: (rows, columns, channels) or (units,).
        first: The first channels; of a vector, the first units in rows.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    first: Small


@dataclass(frozen=True)
class Opened:
    """A run.

    Attributes:
        class_names: In order.
        layers: (name, shape of the output) of every layer; in place of a backbone those that it is made of.
        backbones: By the name of each backbone, that of its last layer.
        shape: Of a picture.
        pictures: How many validation images there are.
        trouble: Why there are none, if that is so.
        epoch: How many epochs it had learned at the checkpoint that is looked at; None for one that has ended.
    """

    class_names: list[str]
    layers: list[tuple[str, tuple[int, ...]]]
    shape: tuple[int, int, int]
    pictures: int
    trouble: str = ""
    epoch: int | None = None
    backbones: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sight:
    """A picture, the answer to it, and every layer.

    Attributes:
        pixels: (height, width, channels) uint8.
        name: Of the picture, for people.
        truth: Its class, if it is known.
        probabilities: (classes,) float32.
        layers: All of them.
        diagram: What the diagram of the network shows.
    """

    pixels: np.ndarray
    name: str
    truth: str | None
    probabilities: np.ndarray
    layers: list[LayerSight]
    diagram: Diagram


@dataclass(frozen=True)
class Close:
    """One value of one layer, close up.

    Attributes:
        calculation: Its numbers.
        after: What came out: the channel's map, or a vector in rows; float32 (rows, columns).
        before: What came in, of the channel that matters: the same. Pixels from 0 to 255 for the first layer.
        before_channel: Which channel that is; None for a vector.
        before_count: How many there are.
        before_name: The layer that it came from; empty for the picture.
        inputs: (name, shape of the output) of every layer that it takes values from.
        channels: Small maps of the layer's channels, the first 256; None for a vector.
        scale: The largest absolute value of ``after``.
        before_scale: And of ``before``; 255 for pixels.
    """

    calculation: Calculation
    after: np.ndarray
    before: np.ndarray
    before_channel: int | None
    before_count: int
    channels: Small | None
    scale: float
    before_scale: float
    before_name: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class _HeldRun:
    """A run in memory; ``epoch`` is set while it has not ended: the epoch that the weights are from."""

    model: Any
    class_names: list[str]
    rule: DecodingRule
    images: ImageSet | None
    rows: list[int]
    trouble: str
    epoch: int | None = None
    seen: tuple[bytes, list[LayerOutput]] | None = None
    passed: tuple[bytes, str, Passed] | None = None
    way: tuple[tuple[bytes, str, int], WayBack] | None = None


@dataclass
class ModelViewer:
    """Answers questions about runs, and keeps the last few of them open."""

    data_dir: Path | None = None
    _held: OrderedDict[tuple[str, int], _HeldRun] = field(default_factory=OrderedDict)
    _untrained: tuple[tuple[Untrained, bytes], Any] | None = None

    def open(self, run: Path) -> Opened:
        """A run, with its model and its validation images; one still learning is as at its last checkpoint.

        Raises:
            RunError: It is not a run, or has no checkpoint yet.
        """
        self._held.pop((str(run), LEARNING), None)  # it has learned more since
        held = self._run(run)
        layers = named_layers(held.model)
        return Opened(
            held.class_names,
            [(one.name, one.shape) for name, one in layers.items() if name == one.name],
            held.rule.shape,
            len(held.rows),
            held.trouble,
            held.epoch,
            {name: one.name for name, one in layers.items() if name != one.name},
        )

    def pictures(self, run: Path, first: int, count: int) -> list[tuple[np.ndarray, str]]:
        """(pixels, class) of some validation images."""
        held = self._run(run)
        if held.images is None:
            return []
        rows = held.rows[first : first + count]
        return [(held.images.pixels[i], held.images.class_names[held.images.labels[i]]) for i in rows]

    def decode(self, run: Path, content: bytes) -> np.ndarray:
        """The bytes of a picture file as the network sees it, (height, width, channels) uint8.

        Raises:
            RequestError: It is not a picture.
        """
        try:
            return decode(content, self._run(run).rule)
        except UnreadableImageError as failure:
            raise RequestError(f"The file cannot be read as a picture: {failure}.") from None

    def look(self, run: Path, picture: Picture) -> Sight:
        """A picture through all layers.

        Raises:
            RequestError: There is no such validation image, or the pixels do not fit the network.
        """
        held = self._run(run)
        pixels, name, truth = _pixels(held, picture)
        layers = _outputs(held, pixels)
        last = layers[-1].output
        probabilities = last if len(last) > 1 else np.concatenate([1 - last, last])
        sights = [LayerSight(o.name, o.kind, o.output.shape, first_maps(o.output)) for o in layers]
        diagram = diagram_of(held.model, pixels, layers)
        return Sight(pixels, name, truth, probabilities, sights, diagram)

    def look_within(self, run: Path, picture: Picture, names: Sequence[str]) -> list[LayerSight]:
        """A picture through some layers of a backbone.

        Raises:
            RequestError: There is no such layer or validation image.
        """
        held = self._run(run)
        pixels, _, _ = _pixels(held, picture)
        layers = named_layers(held.model)
        return [
            LayerSight(name, layers[name].kind, output.shape, first_maps(output))
            for name, output in zip(names, outputs_within(held.model, pixels, names), strict=True)
        ]

    def close_up(
        self, run: Path, picture: Picture, layer: str, position: tuple[int, ...], before: int | None = None
    ) -> Close:
        """One value with its numbers and the maps that it is in; ``before`` is the channel of the input to show.

        Raises:
            RequestError: There is no such layer or position.
        """
        held = self._run(run)
        pixels, _, _ = _pixels(held, picture)
        passed = _passed(held, pixels, layer)
        value = explain_value(held.model, pixels, layer, position, passed)
        calculation = calculate(value, passed.inputs[0].shape, held.class_names)
        layers = named_layers(held.model)
        parents = layers[layer].parents
        after, came = passed.output, passed.inputs[calculation.strongest_of].astype(np.float32)
        channel = None
        if came.ndim == 3:
            channel = calculation.strongest[2]
            if before is not None and 0 <= before < came.shape[2]:
                channel = before
        after_map = after[..., value.position[-1]] if after.ndim == 3 else in_rows(after)
        before_map = came[..., channel] if came.ndim == 3 else in_rows(came)
        return Close(
            calculation=calculation,
            after=after_map,
            before=before_map,
            before_channel=channel,
            before_count=came.shape[-1],
            channels=small(np.moveaxis(after, -1, 0)[:STRIP_CHANNELS], after) if after.ndim == 3 else None,
            scale=float(np.abs(after_map).max()) or 1.0,
            before_scale=float(np.abs(before_map).max()) or 1.0 if parents[0] else 255.0,
            before_name=parents[calculation.strongest_of],
            inputs=tuple((name, layers[name].shape if name else pixels.shape) for name in parents),
        )

    def way_back(
        self, run: Path, picture: Picture, layer: str, position: tuple[int, ...], label: int | None = None
    ) -> GradientTables:
        """How the loss changes with one value; ``label`` by default the picture's class, or what the network says.

        Raises:
            RequestError: There is no such layer, position or class, or a layer is of a kind that is not explained.
        """
        held = self._run(run)
        pixels, chosen, truth = _labelled(held, picture, label)
        way = _way(held, pixels, layer, chosen)
        rows = way.gradient[..., position[-1]] if way.gradient.ndim == 3 else in_rows(way.gradient)
        assumed = label is None and truth is None
        return gradient_tables(way, position, rows, held.class_names, assumed=assumed)

    def descend(
        self, run: Path, picture: Picture, rates: Sequence[float], label: int | None = None
    ) -> Descent:
        """What steps of gradient descent on one picture do to its loss; the run's network stays as it is.

        Raises:
            RequestError: There is no such class, or a rate is not above 0.
        """
        held = self._run(run)
        pixels, chosen, _ = _labelled(held, picture, label)
        return descend(held.model, pixels, chosen, rates)

    def draft(self, untrained: Untrained, sample: np.ndarray, pixels: np.ndarray) -> Diagram:
        """What a network makes of a picture before it has learned; ``sample`` as for ``Untrained.build``.

        Raises:
            WeightsError: Those of its backbone were not found.
        """
        key = (untrained, sample.tobytes())
        if self._untrained is None or self._untrained[0] != key:
            self._untrained = (key, untrained.build(sample))
        model = self._untrained[1]
        return diagram_of(model, pixels, activations(model, pixels))

    def _run(self, path: Path) -> _HeldRun:
        model = path / folder.MODEL
        ended = (path / folder.EVALUATION).is_file()
        # A run that was trained on has another model under the same name.
        key = (str(path), model.stat().st_mtime_ns if ended and model.is_file() else LEARNING)
        if key not in self._held:
            run = open_run(path)
            self._held[key] = self._of_model(run) if ended else self._of_checkpoint(run)
        self._held.move_to_end(key)
        while len(self._held) > RUNS_KEPT:
            self._held.popitem(last=False)
        return self._held[key]

    def _of_model(self, run: RunFolder) -> _HeldRun:
        held = _HeldRun(run.model, run.class_names, run.rule, None, [], "")
        try:
            held.images = load_again(run, self.data_dir)
            held.rows = _validation(run, held.images)
        except ConvictionError as failure:
            held.images, held.trouble = None, f"The run's own pictures cannot be shown: {failure}"
        return held

    def _of_checkpoint(self, run: RunFolder) -> _HeldRun:
        images = load_again(run, self.data_dir)
        model = build_again(run, images)
        epoch = take_checkpoint(run.path, model)
        return _HeldRun(
            model, list(images.class_names), images.rule, images, _validation(run, images), "", epoch
        )


def _validation(run: RunFolder, images: ImageSet) -> list[int]:
    """The rows of the validation images."""
    split = run.split.validation
    return [row for row in images.rows_of(split.values(), split) if row is not None]


def _pixels(held: _HeldRun, picture: Picture) -> tuple[np.ndarray, str, str | None]:
    if isinstance(picture, np.ndarray):
        return picture, "your picture", None
    if held.images is None or not 0 <= picture < len(held.rows):
        raise RequestError(
            f"picture: expected a validation image from 0 to {len(held.rows) - 1}; got {picture}."
            if held.rows
            else held.trouble or "The run has no validation images."
        )
    row = held.rows[picture]
    truth = held.images.class_names[held.images.labels[row]]
    return held.images.pixels[row], f"validation image {picture + 1}", truth


def _labelled(held: _HeldRun, picture: Picture, label: int | None) -> tuple[np.ndarray, int, str | None]:
    """The pixels, their label and their true class; without a label that class, or else the network's answer."""
    pixels, _, truth = _pixels(held, picture)
    if label is None and truth is not None:
        label = held.class_names.index(truth)
    if label is None:
        label = int(predict_probabilities(held.model, pixels[np.newaxis])[0].argmax())
    return pixels, label, truth


def _outputs(held: _HeldRun, pixels: np.ndarray) -> list[LayerOutput]:
    key = pixels.tobytes()
    if held.seen is None or held.seen[0] != key:
        held.seen = (key, activations(held.model, pixels))
    return held.seen[1]


def _way(held: _HeldRun, pixels: np.ndarray, layer: str, label: int) -> WayBack:
    """The gradients at a layer; the last answer is kept."""
    key = (pixels.tobytes(), layer, label)
    if held.way is None or held.way[0] != key:
        held.way = (key, way_back(held.model, pixels, layer, label))
    return held.way[1]


def _passed(held: _HeldRun, pixels: np.ndarray, layer: str) -> Passed:
    """What passed through a layer; the last answer is kept, because people look at many values of one layer."""
    key = pixels.tobytes()
    if held.passed is None or held.passed[:2] != (key, layer):
        held.passed = (key, layer, passed_through(held.model, pixels, find_layer(held.model, layer)))
    return held.passed[2]
