"""The layers of a network, one below the other, with what each makes of the picture; a backbone opens into blocks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from nicegui.events import GenericEventArguments

from conviction.errors import ConvictionError
from conviction.model.backbones.layers import listed_blocks
from conviction.web.elements.maps import Maps, Pick
from conviction.web.elements.plain import Tag, tag
from conviction.web.inside.context import PanelContext
from conviction.web.inside.seeing import LayerSight, Opened, Sight
from conviction.web.inside.small import OVERVIEW_UNITS, SMALL
from conviction.web.inside.view import View, row_width


@dataclass(frozen=True)
class _Block:
    """A block of a backbone: the names of its layers, the button that opens it, and where they are shown."""

    names: list[str]
    title: Tag
    container: Tag


class Stack:
    """Built into the current container."""

    def __init__(self, panel: PanelContext, opened: Opened) -> None:
        self._panel, self._opened = panel, opened
        self._container = tag("ol", "", "stack", aria_label="Layers")
        self._sight: Sight | None = None
        self._rows: dict[str, tuple[Tag, Tag]] = {}
        # By the name of each layer within a backbone, the block that it is in.
        self._blocks: dict[str, _Block] = {}

    def show(self, sight: Sight) -> None:
        """Shows what the layers make of a picture; blocks are closed."""
        self._sight = sight
        self._container.clear()
        self._rows, self._blocks = {}, {}
        with self._container:
            for layer in sight.layers:
                self._show_layer(layer)

    async def mark(self, name: str) -> None:
        """Marks the layer that is looked at, whose block is opened for it."""
        block = self._blocks.get(name)
        if block is not None and name not in self._rows and name not in self._opened.backbones.values():
            await self._turn(block)
        self._mark(name)

    def _show_layer(self, layer: LayerSight) -> None:
        vector = len(layer.shape) == 1
        last = self._opened.backbones.get(layer.name)
        with tag("li", "", "wide" if vector else "") as row:
            with tag("button", type="button", data_key=f"layer {layer.name}") as choose:
                tag("b", layer.name.rpartition("/")[2])
                tag("span", " x ".join(map(str, layer.shape)))
            choose.on("click", self._to_layer(layer.name), js_handler="() => emit()")
            Maps(
                layer.first.maps,
                self._on_small(last or layer.name, layer.shape),
                last=min(layer.shape[0], layer.first.maps[0].size) if vector else None,
            )
            if last:
                self._show_blocks(layer.name)
        self._rows[layer.name] = (row, choose)

    def _show_blocks(self, backbone: str) -> None:
        """The blocks of a backbone, which open into their layers."""
        with tag("ol", "", "blocks", aria_label=f"Blocks of {backbone}"):
            for block in listed_blocks(backbone, self._opened.shape):
                names = [f"{backbone}/{layer.name}" for layer in block.layers]
                with tag("li"):
                    title = tag("button", type="button", data_key=f"block {names[0]}", aria_expanded="false")
                    with title:
                        tag("b", block.title)
                        tag("span", " x ".join(map(str, block.layers[-1].output)))
                    one = _Block(names, title, tag("ol"))
                    title.on("click", self._on_block(one), js_handler="() => emit()")
                self._blocks |= dict.fromkeys(names, one)

    def _on_block(self, block: _Block) -> Callable[[GenericEventArguments], Awaitable[None]]:
        async def turn(_: GenericEventArguments) -> None:
            try:
                await self._turn(block)
            except ConvictionError as failure:
                self._panel.say(str(failure), "message trouble")

        return turn

    async def _turn(self, block: _Block) -> None:
        """Opens a block, with what its layers make of the picture, or closes it."""
        is_open = any(name in self._rows for name in block.names)
        if is_open:
            for name in block.names:
                self._rows.pop(name, None)
            block.container.clear()
        else:
            layers = await self._panel.inspector.look_within(
                self._panel.run, await self._panel.picture(self._panel.view), block.names
            )
            if self._blocks.get(block.names[0]) is not block:  # another picture is shown in the meantime
                return
            block.container.clear()
            with block.container:
                for layer in layers:
                    self._show_layer(layer)
            self._mark(self._panel.view.layer)
        block.title.props["aria-expanded"] = "false" if is_open else "true"
        block.title.update()

    def _mark(self, name: str) -> None:
        # The last layer of a backbone is shown as the backbone itself while its block is closed.
        whole = next((one for one, last in self._opened.backbones.items() if last == name), name)
        current = name if name in self._rows else whole
        for other, (row, choose) in self._rows.items():
            if other == current:
                row.classes(add="current")
                choose.props["aria-current"] = "true"
            else:
                row.classes(remove="current")
                choose.props.pop("aria-current", None)
            choose.update()

    def _to_layer(self, name: str) -> Callable[[GenericEventArguments], Awaitable[None]]:
        async def choose(_: GenericEventArguments) -> None:
            view = replace(self._panel.view, layer=name)
            # At the output layer, the answer is what people want to see.
            if self._sight is not None and name == self._sight.layers[-1].name != self._panel.view.layer:
                view = replace(view, channel=int(self._sight.probabilities.argmax()))
            await self._panel.go(view)

        return choose

    def _on_small(self, name: str, shape: tuple[int, ...]) -> Callable[[Pick], Awaitable[None]]:
        async def choose(pick: Pick) -> None:
            await self._panel.go(from_small(replace(self._panel.view, layer=name), shape, pick))

        return choose


def from_small(view: View, shape: tuple[int, ...], pick: Pick) -> View:
    """What a click on a small map means: small maps are thinned out, vectors are written in rows."""
    if len(shape) == 1:
        unit = pick.row * row_width(min(OVERVIEW_UNITS, shape[0])) + pick.column
        return view.at((min(unit, shape[0] - 1),))
    step = -(-max(shape[:2]) // SMALL)
    return view.at((pick.row * step, pick.column * step, pick.map)).within(shape)
