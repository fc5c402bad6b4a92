"""Step 2: the network as layers, as a specification, as Keras code and as a picture: four views of one list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from nicegui import ui
from nicegui.events import GenericEventArguments

from conviction.config import RECIPES, layer_edits
from conviction.config.model import LAYER_TYPES, Activation, Backbone, Layer, ModelSpec
from conviction.config.recipes import TRANSFER_RECIPE
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.model import LayerRow
from conviction.model.backbones import KINDS
from conviction.model.shapes import scaling_of, setting, trained_words
from conviction.reporting import model_step
from conviction.web.elements.plain import button, choice, number, paragraph, tag, text_field, tick
from conviction.web.pages.backbone_row import show_backbone
from conviction.web.pages.chapter import chapter_button
from conviction.web.pages.draft import DraftPage, real, unlike, whole
from conviction.web.pages.draft_diagram import DraftDiagram
from conviction.web.pages.frame import figures, framed, onward, parts_of
from conviction.web.pages.page import ChapterLink, PageContext, Stop, shown_with_images, walkthrough
from conviction.web.work import network
from conviction.web.work.desk import Draft

NONE = "none"
# Once it is drawn.
TO_OPEN_LAYER = "setTimeout(() => document.querySelector('.layer.open')?.scrollIntoView({block: 'center'}))"
# Settings of a layer that are one of a few words.
CHOICES = {
    "padding": {"valid": "valid", "same": "same"},
    "kernel_initializer": {"glorot_uniform": "at random", "dirac": "passing channels on"},
}
WHEN_TRANSFER = (
    "For photographs, and for few of them, start from transfer: its network has already learned on a million "
    "photographs, and only the last layer learns from yours, in seconds."
)


async def network_page(page: PageContext) -> None:
    """Builds the step."""
    page.part = page.part or "layers"
    with framed(page):
        parts_of(page)
        await shown_with_images(page, lambda images: _Editor(page, images).show())


STOP = Stop(
    "network",
    "Network",
    "architecture",
    network_page,
    partial(walkthrough, "Model"),
    parts={"layers": "Layers", "yaml": "Specification", "keras": "Keras code"},
    drafts=True,
    links=(
        ChapterLink("architecture", "layers", "layers"),
        ChapterLink("architecture", "Keras code", "keras"),
        ChapterLink("transfer", "network", "layers"),
    ),
)


class _Editor(DraftPage):
    """The views, which are redrawn when the list changes."""

    def __init__(self, page: PageContext, images: ImageSet) -> None:
        super().__init__(page, images)
        index = page.query.get("layer", "")
        # Layers go by names that move with them, so that focus and what is open do too.
        self.layers: layer_edits.Layers = ()
        self.names: list[int] = []
        self.open: int | None = int(index) if index.isdecimal() and len(index) < 4 else None
        self.kind = "Conv2D"
        self.picture: DraftDiagram | None = None
        # A specification that was refused: a long text with one mistake in it is not thrown away.
        self.refused: str | None = None

    def show(self) -> None:
        """Shows the page; the picture lies beside the surface, which is redrawn at every change."""
        if self.page.part == "layers":
            self.picture = DraftDiagram(self.page, self.images, self._open)
        super().show()

    def draw(self) -> None:
        """The list in the view that is requested, and what follows from it."""
        layers = self.page.draft.layers
        if layers != self.layers:
            self.refused = None
        self.names = network.names_after(self.layers, self.names, layers)
        self.layers = layers
        view = network.look(layers, self.shape, self.classes)
        if self.picture is not None:
            self.picture.show(layers, view, self.page.recipe(self.images).training.seed)
        self._tools()
        if view.refusal:
            _refusal(view, lambda fix: self._set(partial(getattr, fix, "layers")))
        else:
            _sizes(view, layers)
        if self.page.part == "keras":
            _keras(self.shape, self.classes, layers, view)
        else:
            {"layers": self._layers, "yaml": self._yaml}[self.page.part](layers, view)
        if view.rows:
            for sentence in model_step(view.rows).sentences[1:]:
                paragraph(sentence, "note")
            onward(self.page, "Compile", self.page.to("compile"))

    def _tools(self) -> None:
        with tag("div", "", "buttons"):
            self.undoing()
            tag("span", "Start again from", "soft")
            for name in ("lab", "fast", "best", TRANSFER_RECIPE):
                assert name in RECIPES
                button(
                    name,
                    self.put(partial(self._begin_from, name)),
                    f"recipe-{name}",
                    aria_label=f"Start again from the recipe {name}",
                )
            tag("span", "A recipe replaces your network, and how it learns at Compile.", "soft")
        if self.page.part == "layers":
            _about_transfer(self.page)

    def _begin_from(self, recipe: str, *_: Any) -> Draft:
        return self.page.lab.new_draft(recipe, self.facts, self.page.draft)

    def _set(self, make: Callable[[], layer_edits.Layers]) -> Callable[..., Any]:
        """A handler that takes the layers that ``make`` returns."""
        return self.put(lambda *_: replace(self.page.draft, layers=make()))

    def _layers(self, layers: layer_edits.Layers, view: network.NetworkView) -> None:
        rows = view.rows or (None,) * (len(layers) + 2)
        with tag("ol", "", "layers"):
            scaled = scaling_of(ModelSpec(layers=layers)).words
            _fixed("Input and normalise", f"{scaled}, so that raw pixels go in", rows[0])
            for i, layer in enumerate(layers):
                self._layer(i, layer, rows[i + 1], wrong=i == view.index)
            units = "1 unit, sigmoid" if self.classes == 2 else f"{self.classes} units, softmax"
            _fixed("Output", units, rows[-1])
        with tag("div", "", "fields"):
            kinds = {kind: kind for kind in network.ADDABLE}
            choice("Add a layer", kinds, self.kind, self._choose_kind, "add-kind")
            button("Add", self._set(self._with_another), "add", "primary")

    def _with_another(self) -> layer_edits.Layers:
        opened = self.names.index(self.open) if self.open in self.names else None
        return network.add(self.layers, self.kind, _index_of_new(self.layers, self.kind, opened))

    def _choose_kind(self, kind: str) -> None:
        self.kind = kind if kind in network.ADDABLE else "Conv2D"

    def _layer(self, i: int, layer: Layer, row: LayerRow | None, *, wrong: bool) -> None:
        if isinstance(layer, Backbone):
            with tag("li", "", f"layer backbone{' wrong' if wrong else ''}", key=f"layer-{self.names[i]}"):
                with tag("div", "", "name"):
                    tag("b", KINDS[layer.name].title)
                    tag("span", trained_words(layer))
                _costs(row)
                show_backbone(layer, self.shape if row else None, self._put_backbone)
            return
        name = self.names[i]
        is_open = name == self.open
        label = row.name if row else f"layer {i + 1}"
        classes = f"layer{' open' if is_open else ''}{' wrong' if wrong else ''}"
        with tag("li", "", classes, key=f"layer-{name}"):
            with tag("div", "", "name"):
                tag("b", layer.type)
                tag("span", setting(layer))
            with tag("div", "", "hands"):
                acts = {
                    "edit": ("Close" if is_open else "Edit", self.act(lambda *_: self._toggle(name))),
                    "up": ("Up", self._set(lambda: layer_edits.move(self.layers, i, -1))),
                    "down": ("Down", self._set(lambda: layer_edits.move(self.layers, i, 1))),
                    "remove": ("Remove", self._set(lambda: layer_edits.remove(self.layers, i))),
                }
                # Marked as disabled for screen readers but left enabled, so that the focus stays on it when its layer
                # reaches an end.
                ends = {"up": i == layer_edits.beginning(self.layers), "down": i == len(self.layers) - 1}
                for act, (word, do) in acts.items():
                    off = {"aria_disabled": "true"} if ends.get(act) else {}
                    button(
                        word, do, f"{act}-{name}", "quiet", aria_label=f"{word} {layer.type} ({label})", **off
                    )
            _costs(row)
            if is_open:
                with tag("div", "", "fields"):
                    self._settings(i, layer, label)

    def _put_backbone(self, field: str) -> Callable[..., Any]:
        def make(value: str) -> Draft:
            changed: str | int = int(value) if value.isdecimal() else value
            return replace(self.page.draft, layers=network.edit(self.layers, 0, field, changed))

        return self.put(make)

    def _open(self, layer: str) -> None:
        """Opens a layer that was clicked in the picture, by its name in the Keras model."""
        if self.drawn != self.page.desk.revision:
            self._late()
            return
        rows = network.look(self.layers, self.shape, self.classes).rows[1:-1]
        names = {row.name: name for row, name in zip(rows, self.names, strict=True)}
        if names.get(layer, self.open) != self.open:
            self._toggle(names[layer])
            self._draw()
            ui.run_javascript(TO_OPEN_LAYER)

    def _toggle(self, name: int) -> None:
        self.open = None if self.open == name else name
        self.page.mark({"layer": "" if self.open is None else str(self.names.index(name))})

    def _settings(self, i: int, layer: Layer, of: str) -> None:
        def make(field: str, read: Callable[[Any], Any], value: Any) -> Draft:
            return replace(self.page.draft, layers=network.edit(self.layers, i, field, read(value)))

        def typed(field: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
            field_name = f"{of}, {field.replace('_', ' ')}"
            return self.put_field(f"{field}-{self.names[i]}", field_name, partial(make, field, read))

        def put(field: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
            return self.put(partial(make, field, read))

        activations = {name: name for name in get_args(Activation)}
        for name in LAYER_TYPES[layer.type].model_fields:
            value: Any = getattr(layer, name)
            label, key = name.replace("_", " "), f"{name}-{self.names[i]}"
            if name in ("filters", "units"):
                number(label, handler=typed(name, whole), key=key, **self.shown(key, value), min=1, step=1)
            elif name in ("rate", "momentum"):
                shown = self.shown(key, value)
                number(label, handler=typed(name, real), key=key, **shown, min=0, max=0.99, step=0.05)
            elif name in ("kernel_size", "strides", "pool_size"):
                text_field(label, handler=typed(name, _pair), key=key, **self.shown(key, _pair_text(value)))
            elif name in CHOICES:
                choice(label, CHOICES[name], value, put(name, str), key)
            elif name == "activation":
                options = activations if layer.type == "Activation" else {NONE: NONE, **activations}
                choice(label, options, value or NONE, put(name, lambda v: None if v == NONE else v), key)
            elif name == "use_bias":
                tick("bias", value, put(name, bool), key)

    def _yaml(self, layers: layer_edits.Layers, view: network.NetworkView) -> None:
        paragraph("The same network as a specification. Change it here, and the other views follow.")
        written = network.to_yaml(layers) if self.refused is None else self.refused
        text = tag("textarea", written, spellcheck="false", aria_label="Specification", data_key="yaml")
        text.on("change", self._written)
        paragraph("It takes effect when you leave the field.", "note")

    async def _written(self, event: GenericEventArguments) -> None:
        text = str(event.args)[: network.MOST_TEXT + 1]
        layers = await _layers_of(text)
        await self._set(partial(self._take, text, layers))()

    def _take(self, text: str, layers: layer_edits.Layers | RequestError) -> layer_edits.Layers:
        self.refused = text if isinstance(layers, RequestError) else None
        if isinstance(layers, RequestError):
            raise layers
        return layers


def _about_transfer(page: PageContext) -> None:
    if not layer_edits.backbone(page.draft.layers):
        paragraph(WHEN_TRANSFER, "note")
    with tag("div", "", "buttons"):
        chapter_button(page, "transfer")


def _refusal(view: network.NetworkView, take: Callable[[network.Fix], Callable[..., Any]]) -> None:
    """Why the network does not fit, and changes that would; ``take`` makes a handler of one."""
    with tag("div", "", "message trouble", role="alert"):
        paragraph(view.refusal)
        if not view.fixes:
            return
        with tag("div", "", "buttons"):
            for i, fix in enumerate(view.fixes):
                button(fix.label, take(fix), f"fix-{i}", "primary" if not i else "")


def _index_of_new(layers: layer_edits.Layers, kind: str, opened: int | None) -> int:
    """Where a new layer goes: after the one that is open, or otherwise where its kind belongs."""
    if opened is not None:
        return opened + 1
    return len(layers) if kind == "Dense" else layer_edits.head(layers)


async def _layers_of(text: str) -> layer_edits.Layers | RequestError:
    """What was typed; a long text is read beside the event loop, so that other learners do not wait for it.

    A short one is read at once, so that what is pressed next is done after it.
    """
    return _read(text) if len(text) <= SHORT_TEXT else await asyncio.to_thread(_read, text)


# Read in a few dozen milliseconds; a network of thirty layers is shorter.
SHORT_TEXT = 4000


def _read(text: str) -> layer_edits.Layers | RequestError:
    try:
        return network.from_yaml(text)
    except RequestError as failure:
        return failure


def _keras(shape: network.Shape, classes: int, layers: layer_edits.Layers, view: network.NetworkView) -> None:
    if not view.rows:
        paragraph("There is no program for a network that does not fit.")
        return
    paragraph("The same network in plain Keras, as the exported program has it.")
    code = network.keras_code(layers, shape, classes)
    tag("pre", code, "code", tabindex=0, role="region", aria_label="Keras code")


def _sizes(view: network.NetworkView, layers: layer_edits.Layers) -> None:
    learns = {"of them learn": f"{view.trainable:,}"} if layer_edits.backbone(layers) else {}
    figures(
        {
            "parameters": f"{view.params:,}",
            **learns,
            "multiply-adds for one image": f"{view.multiply_adds:,}",
            "sees at most": _seen(view.rows),
        }
    )


def _seen(rows: tuple[LayerRow, ...]) -> str:
    seen = [row.receptive_field for row in rows if row.receptive_field]
    return f"{seen[-1][0]}x{seen[-1][1]} pixels"


def _fixed(name: str, setting: str, row: LayerRow | None) -> None:
    """A layer that every network has."""
    with tag("li", "", "layer given"):
        with tag("div", "", "name"):
            tag("b", name)
            tag("span", setting)
        _costs(row)


def _costs(row: LayerRow | None) -> None:
    with tag("div", "", "costs"):
        if row is None:
            return
        tag("b", " x ".join(map(str, row.output)))
        if row.params:
            tag("span", f"{row.params:,} parameters")
        if row.multiply_adds:
            tag("span", f"{row.multiply_adds:,} multiply-adds")
        if row.receptive_field and row.receptive_field != (1, 1):
            tag("span", f"sees {row.receptive_field[0]}x{row.receptive_field[1]}")


def _pair(text: str) -> tuple[int, int]:
    """``3`` and ``3x5``."""
    parts = [whole(part.strip()) for part in str(text).lower().replace(",", "x").split("x")]
    if len(parts) == 1:
        parts *= 2
    if len(parts) != 2:
        raise unlike("a size such as 3 or 3x5", text)
    return parts[0], parts[1]


def _pair_text(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
