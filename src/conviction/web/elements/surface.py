"""A part of the page that is redrawn as a whole at every change, and in which no key press is lost.

An element of NiceGUI that is replaced takes with it what is being typed into it and what was pressed a moment ago: an
event names its element, and that element is gone. On a surface an event names a key, which outlives the drawing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

# What is being drawn now, outermost first: the root of a surface, and the elements that are open in it.
_open: list[Node] = []
_surfaces: list[Surface] = []


class Node:
    """An element of a surface: plain values until the browser makes it.

    Args:
        name: Of the element.
        text: Shown as it is.
        props: Attributes as HTML has them; ``key`` distinguishes the children of an element where ``data-key`` does
            not.
    """

    def __init__(self, name: str, text: str, props: dict[str, Any]) -> None:
        self.name, self.text, self.props = name, text, props
        self.children: list[Node] = []
        if _open:
            _open[-1].children.append(self)

    def __enter__(self) -> Node:
        _open.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.pop()

    def on(self, _: str, handler: Callable[[Any], Any], **__: Any) -> None:
        """What is done when it is clicked or changed; the element has a ``data-key``."""
        if not self.props.get("disabled"):
            _surfaces[-1].handlers[self.props["data-key"]] = handler

    def to_json(self) -> list[Any]:
        """As ``surface.js`` takes it."""
        return [self.name, self.props, self.text, [child.to_json() for child in self.children]]


def is_drawing() -> bool:
    """Whether what is made now belongs on a surface."""
    return bool(_open)


class Surface(Element, component="surface.js"):
    """Elements of ``elements`` that are made inside ``drawing`` become the content of the surface.

    Args:
        on_late: Called when something was pressed on a drawing from before the last ``drawing(foreign=True)``: what
            the learner saw was another thing.

    Attributes:
        handlers: By ``data-key``, what is done; those of the last drawing.
    """

    def __init__(self, on_late: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.handlers: dict[str, Callable[[Any], Any]] = {}
        self._on_late = on_late
        self._number = self._foreign = 0
        self.props["tree"], self.props["drawing"] = [], 0
        self.on("act", self._act)

    @contextmanager
    def drawing(self, *, foreign: bool = False) -> Iterator[None]:
        """What is made inside is what the surface shows from now on. Nothing may be awaited inside.

        Args:
            foreign: Whether something other than an action on this surface has changed what it shows.
        """
        root, before = Node("div", "", {}), self.handlers
        self.handlers = {}
        _surfaces.append(self)
        try:
            with root:
                yield
        except BaseException:
            self.handlers = before  # of what is still shown
            raise
        finally:
            _surfaces.pop()
        self._number += 1
        if foreign:
            self._foreign = self._number
        self.props["tree"] = root.to_json()[3]
        self.props["drawing"] = self._number

    async def _act(self, event: GenericEventArguments) -> None:
        """Does what belongs to a key now: keys pressed one after the other are handled one after the other.

        A coroutine, because the one before it has then been done when the key is looked up.
        """
        key, value, seen = event.args["key"], event.args["value"], event.args["drawing"]
        if seen < self._foreign and self._on_late is not None:
            self._on_late()
            return
        handler = self.handlers.get(key)
        if handler is None:  # an earlier press has disabled or removed it
            return
        result = handler(GenericEventArguments(sender=self, client=self.client, args=value))
        if inspect.isawaitable(result):
            await result
