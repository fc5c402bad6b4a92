"""The panel: choose a picture, see every layer, click a value and see its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from nicegui import ui
from nicegui.events import GenericEventArguments

from conviction.errors import ConvictionError
from conviction.web.elements.maps import Pick
from conviction.web.elements.network_diagram import LEGEND, ColumnPick, NetworkDiagram, ValuePick
from conviction.web.elements.plain import paragraph, tag
from conviction.web.inside.chooser import Chooser
from conviction.web.inside.closeup import CloseUp
from conviction.web.inside.drawn import drawn, mark_of, view_of
from conviction.web.inside.inspector import Inspector
from conviction.web.inside.kept import Kept
from conviction.web.inside.seeing import Opened, Picture, Sight
from conviction.web.inside.stack import Stack, from_small
from conviction.web.inside.view import View
from conviction.web.inside.way_back import WayBackPanel

MOST_SAID = 0.9994
STYLE = Path(__file__).with_name("inside.css")


def inside_panel(
    run: Path,
    inspector: Inspector,
    kept: Kept,
    *,
    query: Mapping[str, str] | None = None,
    on_query: Callable[[dict[str, str]], None] = lambda query: None,
) -> Panel:
    """Builds the panel into the current container; it fills as the inspector answers.

    Args:
        run: A run folder with a model, or with a checkpoint while it learns.
        inspector: Of the server.
        kept: Pictures that were uploaded or drawn, of this learner alone.
        query: What the address asks for; see ``View``.
        on_query: Called with the new query each time another thing is looked at, for the address.
    """
    ui.add_css(STYLE)
    return Panel(run, inspector, kept, View.of(query or {}), on_query)


class Panel:
    """One page's view into one run."""

    def __init__(
        self,
        run: Path,
        inspector: Inspector,
        kept: Kept,
        view: View,
        on_query: Callable[[dict[str, str]], None],
    ) -> None:
        self.run, self.inspector, self.kept = run, inspector, kept
        self.view, self._on_query = view, on_query
        self._opened: Opened | None = None
        self._sight: Sight | None = None
        self._shown: View | None = None
        self._last: View | None = None
        self._looked_at = ""
        self._decoded: tuple[str, np.ndarray] | None = None
        self._moving = False
        # The picture and layer of the browser's current history entry.
        self._entry: tuple[str, str] | None = None
        ui.on("returned", self._returned)
        with tag("div", "", "inside"):
            self._message = tag("div", role="status")
            self._top = tag("div", "", "chooser")
            self._answer = tag("p", "", "answer")
            paragraph(f"{LEGEND} Click a value to see how it is calculated.", "note")
            self._diagram = NetworkDiagram(self._picked, opens=True)
            self._layers = tag("details", "", "every-layer")
            self._close = tag("div", "", "calculation")
            with self._close:
                # On a phone, what was tapped opens as a sheet over the page; see ``live/diagram.js``.
                tag("button", "Close", "button close-sheet", type="button")
        self.say("The network is being loaded.", "waiting")
        self._chooser: Chooser | None = None
        self._close_up: CloseUp | None = None
        self._way_back: WayBackPanel | None = None
        self._stack: Stack | None = None
        ui.timer(0.01, self._begin, once=True)

    async def _begin(self) -> None:
        try:
            self._opened = await self.inspector.open(self.run)
        except ConvictionError as failure:
            self.say(str(failure), "message trouble")
            return
        with self._top:
            if self._opened.epoch is not None:
                paragraph(
                    f"This network is still learning; it is shown as it was after epoch {self._opened.epoch}, its "
                    "last checkpoint. Reload the page for a newer one.",
                    "message",
                )
            self._chooser = Chooser(self, self._opened)
        # The layers inside a backbone are listed only here.
        self._layers.props["open"] = bool(self._opened.backbones)
        with self._layers:
            tag("summary", f"All {len(self._opened.layers)} layers, one by one")
            self._stack = Stack(self, self._opened)
        with self._close:
            self._close_up = CloseUp(self)
            self._way_back = WayBackPanel(self, self._opened.class_names)
        await self._chooser.show_page()
        await self.go(self.view)

    async def go(self, view: View) -> None:
        """Looks at something else; while numbers are on their way, only the last request counts."""
        self.view = view
        if self._moving:
            return
        self._moving = True
        try:
            while self._shown != self.view:
                await self._show(self.view)
        except ConvictionError as failure:
            self.say(str(failure), "message trouble")
            self._keep_last()
        finally:
            self._moving = False
        # Not part of the move: whoever goes on does not wait for the gradients.
        if self._way_back is not None and self._opened is not None and self._shown is not None:
            shape = dict(self._opened.layers).get(self._shown.layer)
            if shape is not None:
                await self._way_back.show(self._shown, shape)

    async def _show(self, wanted: View) -> None:
        assert self._opened is not None
        assert self._close_up is not None
        self._shown = wanted
        if self._sight is None or wanted.picture != self._looked_at:
            self._sight = await self.inspector.look(self.run, await self.picture(wanted))
            self._looked_at = wanted.picture
            self._show_answer(self._sight)
            self._diagram.show(drawn(self._sight.diagram, self._sight.name, self._opened.class_names))
            assert self._stack is not None
            self._stack.show(self._sight)
        shapes = dict(self._opened.layers)
        if wanted.layer not in shapes and wanted.layer not in self._opened.backbones:
            wanted = interesting(wanted, self._sight)
        # A backbone gives what its last layer gives.
        wanted = replace(wanted, layer=self._opened.backbones.get(wanted.layer, wanted.layer))
        wanted = wanted.within(shapes[wanted.layer])
        close = await self.inspector.close_up(
            self.run, await self.picture(wanted), wanted.layer, wanted.position(shapes[wanted.layer])
        )
        if self.view == self._shown:
            self.view = self._shown = wanted
        self.say("")
        self._close_up.show(wanted, close, shapes[wanted.layer])
        assert self._stack is not None
        await self._stack.mark(wanted.layer)
        self._diagram.mark_at(mark_of(self._sight.diagram, wanted, self._opened.backbones))
        if self._chooser is not None:
            self._chooser.mark(wanted.picture)
        self._last = wanted
        # Not if something else has been requested meanwhile, such as what was there before.
        if self.view == wanted:
            self._write_history(wanted)

    def _keep_last(self) -> None:
        """After a failure, the next step starts from what is still shown."""
        if self._last is not None:
            self.view = self._shown = self._last
            self._entry = (self._last.picture, self._last.layer)
            self._write_history(self._last)

    def _write_history(self, shown: View) -> None:
        """Another picture or layer is one step for Back; another value of the same layer is not."""
        entry = (shown.picture, shown.layer)
        # Not where the event came from: that element may be gone.
        with self._message:
            if self._entry not in (None, entry):
                ui.run_javascript("history.pushState(history.state, '', location.href)")
            self._entry = entry
            self._on_query(shown.to_query())

    async def _returned(self, event: GenericEventArguments) -> None:
        """Back or Forward: the address has already changed."""
        view = View.of(event.args)
        self._entry = (view.picture, view.layer)
        if self._close_up is None:  # the network is still being loaded
            self.view = view
        else:
            await self.go(view)

    async def picture(self, view: View) -> Picture:
        """The picture of a view.

        Raises:
            RequestError: It was uploaded or drawn, and is no longer kept.
        """
        name = view.picture
        if name.isascii() and name.isdigit() and len(name) < 9:
            return int(name)
        if self._decoded is None or self._decoded[0] != name:
            # By the rule of this run: another may take pictures of another size.
            self._decoded = (name, await self.inspector.decode(self.run, self.kept.get(name)))
        return self._decoded[1]

    async def _picked(self, pick: ColumnPick | ValuePick) -> None:
        if self._sight is not None:
            await self.go(view_of(self._sight.diagram, pick, self.view))

    def say(self, sentence: str, kind: str = "") -> None:
        """Shows a sentence at the top of the panel."""
        self._message.clear()
        if sentence:
            with self._message:
                paragraph(sentence, kind)

    def _show_answer(self, sight: Sight) -> None:
        assert self._opened is not None
        names = self._opened.class_names
        predicted = names[int(sight.probabilities.argmax())]
        truth = f"The true class is {sight.truth}. " if sight.truth is not None else ""
        share = float(sight.probabilities.max())
        # Softmax does not reach 100%.
        sure = "over 99.9%" if share > MOST_SAID else f"{share:.1%}"
        self._answer.text = f"{truth}The network says {predicted}, with a probability of {sure}."


def interesting(view: View, sight: Sight) -> View:
    """Where a look starts: the strongest value that is shown of the first layer after the normalisation."""
    layer = sight.layers[min(1, len(sight.layers) - 1)]
    maps = np.abs(layer.first.maps.astype(np.int16))
    strongest = np.unravel_index(int(maps.argmax()), maps.shape)
    return from_small(replace(view, layer=layer.name), layer.shape, Pick(*(int(i) for i in strongest)))
