"""A diagram of the network that is being built: first its shapes, then what it makes of a picture before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from nicegui import background_tasks

from conviction.config import layer_edits
from conviction.config.model import Conv2D, ModelSpec, Whitening
from conviction.data import ImageSet
from conviction.errors import ConvictionError
from conviction.model.whitening import is_whitened
from conviction.reporting import printable
from conviction.web.elements.network_diagram import LEGEND, ColumnPick, NetworkDiagram, ValuePick
from conviction.web.elements.plain import button, paragraph, tag
from conviction.web.inside.drawn import drawn, outline
from conviction.web.inside.folding import Fold, PlainLayer, fold
from conviction.web.inside.inspector import Inspector
from conviction.web.inside.learning import Untrained
from conviction.web.pages.page import PageContext
from conviction.web.work.network import NetworkView

# Larger networks are not built just to be drawn.
MOST_PARAMS = 30_000_000
MOST_MULTIPLY_ADDS = 3_000_000_000
# Pictures that a whitening is fitted to.
SAMPLE = 100
# How far "Another picture" jumps. Data sets are often sorted by class, so a long jump usually reaches another class.
STRIDE = 7919


class DraftDiagram:
    """Built into the current container.

    Args:
        page: The context of the page.
        images: Those that the network is for.
        on_layer: Called with the name of a layer that was clicked.
    """

    def __init__(self, page: PageContext, images: ImageSet, on_layer: Callable[[str], None]) -> None:
        self._page, self._images, self._on_layer = page, images, on_layer
        data_dir = None if page.lab.data_dir is None else Path(page.lab.data_dir)
        self._inspector = Inspector(page.lab.helper, data_dir)
        self._number = 0
        self._wanted: Untrained | None = None
        self._folds: list[Fold] = []
        self._working = self._too_large = False
        self._container = tag("div", "", "draft-diagram")
        with self._container:
            self._diagram = NetworkDiagram(self._picked)
            paragraph(f"{LEGEND} Click a map to open its layer.", "note")
            with tag("div", "", "buttons"):
                self._note = tag("span", "", "note", role="status")
                button("Another picture", page.guarded(self._another), "another-picture", "quiet")

    def show(self, layers: layer_edits.Layers, view: NetworkView, seed: int) -> None:
        """Shows a network: its shapes now, and what it makes of the picture when that is computed.

        Args:
            layers: Its hidden layers.
            view: Their shapes and costs; without any, nothing is shown.
            seed: Of the training, which decides the weights that it begins with.
        """
        self._container.props["hidden"] = not view.rows
        untrained = Untrained(ModelSpec(layers=layers), self._images.rule.shape, len(self._names), seed)
        if not view.rows or untrained == self._wanted:
            return
        self._wanted = untrained
        self._folds = fold([PlainLayer(row.name, row.kind, row.output) for row in view.rows])
        self._diagram.mark_at([])
        self._too_large = view.params > MOST_PARAMS or view.multiply_adds > MOST_MULTIPLY_ADDS
        self._compute()

    @property
    def _names(self) -> list[str]:
        return self._images.class_names

    @property
    def _name(self) -> str:
        return printable(self._images.names[self._number])

    @property
    def _pixels(self) -> np.ndarray:
        return np.asarray(self._images.pixels[self._number])

    def _compute(self) -> None:
        """Shows the shapes, and starts to compute the values."""
        if self._too_large:
            self._show_shapes(
                "This network is too large to run before training, so only its shapes are shown."
            )
            return
        self._show_shapes("The untrained network is being run on this picture.", waiting=True)
        if not self._working:
            self._working = True
            background_tasks.create(self._follow())

    def _show_shapes(self, note: str, *, waiting: bool = False) -> None:
        self._note.text = note
        self._diagram.show(outline(self._folds, self._pixels, self._name, self._names, waiting=waiting))

    async def _follow(self) -> None:
        """Computes until it has computed what is wanted: of several changes only the last counts."""
        done = None
        try:
            while done != (self._wanted, self._number) and not (
                self._too_large or self._container.is_deleted
            ):
                done = (self._wanted, self._number)
                await self._values()
        finally:
            self._working = False

    async def _values(self) -> None:
        untrained, number = self._wanted, self._number
        assert untrained is not None
        count = len(self._images.pixels)
        sample = np.linspace(0, count - 1, min(SAMPLE, count) if is_whitened(untrained.spec) else 0).astype(
            int
        )
        diagram, failure = None, ""
        try:
            diagram = await self._inspector.draft(untrained, self._images.pixels[sample], self._pixels)
        except ConvictionError as error:
            failure = str(error)
        if (untrained, number) != (self._wanted, self._number):
            return
        if diagram is None:
            self._show_shapes(failure)
            return
        self._diagram.show(drawn(diagram, self._name, self._names, trained=False))
        self._note.text = _state_text(untrained.spec.layers)

    def _another(self) -> None:
        self._number = (self._number + STRIDE) % len(self._images.pixels)
        self._compute()

    def _picked(self, pick: ColumnPick | ValuePick) -> None:
        """A layer that is clicked opens in the list."""
        if pick.column >= len(self._folds) - 1:
            return
        at = [pick.column] if isinstance(pick, ColumnPick) else [pick.column, pick.map, *pick.at]
        self._diagram.mark_at(at)
        self._on_layer(self._folds[pick.column].layers[0].name)


def _state_text(layers: layer_edits.Layers) -> str:
    if layer_edits.backbone(layers):
        return "The backbone is already trained. The layers after it are not, so the answer is a guess."
    sentences = ["This network is untrained. It has learned nothing yet, so its answer is a guess."]
    if any(isinstance(layer, Whitening) for layer in layers):
        sentences.append("Only the whitening layer is already fitted to your images.")
    if any(isinstance(layer, Conv2D) and layer.kernel_initializer == "dirac" for layer in layers):
        sentences.append("The first filters of each convolution start by copying one channel each.")
    return " ".join(sentences)
