"""What the steps that change the draft share: redrawing it, two tabs, undo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from nicegui import ui

from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.web.elements.plain import button
from conviction.web.elements.surface import Surface
from conviction.web.pages.page import PageContext
from conviction.web.work.changes import describe_change
from conviction.web.work.desk import Desk, Draft, Work
from conviction.web.work.lab import facts_about


class DraftPage(ABC):
    """A step that shows the draft on a surface, and redraws it when this or another tab has changed it.

    Args:
        page: The context of the page.
        images: Those that the draft is for.
    """

    def __init__(self, page: PageContext, images: ImageSet) -> None:
        self.page, self.images = page, images
        self.source, self.data = page.desk.source, page.data
        self.shape = images.rule.shape
        self.classes = len(images.class_names)
        self.facts = facts_about(images, page.data)
        self.drawn = -1
        # By the key of a field: what was typed and refused, and why. It stays until it is corrected.
        self.wrong: dict[str, tuple[str, str]] = {}

    @abstractmethod
    def draw(self) -> None:
        """Makes what the surface shows."""

    def show(self) -> None:
        """Shows the page, and redraws it when the desk has changed."""
        self.surface = Surface(self._late)
        self._draw()
        ui.timer(1.0, self._look)

    def act(self, do: Callable[..., Any], *, in_field: bool = False) -> Callable[..., Any]:
        """A handler that does something, draws what came of it, and then keeps it."""

        async def handler(*arguments: Any) -> None:
            if self.drawn != self.page.desk.revision:
                self._late()
                return
            self.page.say("")
            if not in_field:
                self.wrong.clear()
            try:
                do(*arguments)
            finally:
                self._draw()
            await self.page.keep_beside()

        return self.page.guarded(handler)

    def put(self, make: Callable[..., Draft]) -> Callable[..., Any]:
        """A handler that takes the draft that ``make`` gives."""
        return self.act(lambda *arguments: self.page.desk.change(make(*arguments)))

    def put_field(self, key: str, name: str, make: Callable[[str], Draft]) -> Callable[[str], Any]:
        """A handler of a field that takes the draft that ``make`` gives; a refusal is shown at the field.

        Args:
            key: Of the field.
            name: What the sentence calls it.
            make: Called with what was typed.
        """

        def take(text: str) -> None:
            self.wrong.pop(key, None)
            try:
                self.page.desk.change(make(text))
            except RequestError as failure:
                self.wrong[key] = (text, refusal(name, failure))

        return self.act(take, in_field=True)

    def shown(self, key: str, value: Any) -> dict[str, Any]:
        """What a field shows: its value, or what was typed and refused, with the reason."""
        typed, why = self.wrong.get(key, (value, ""))
        return {"value": typed, "wrong": why}

    def undoing(self) -> None:
        """The two buttons."""
        undo_buttons(self.page.desk, lambda do: self.act(lambda *_: do()))

    def _look(self) -> None:
        if self.drawn != self.page.desk.revision:
            self._draw(foreign=True)

    def _late(self) -> None:
        self._look()
        self.page.say("This was changed in another tab in the meantime. You now see the current state.")

    def _draw(self, *, foreign: bool = False) -> None:
        self.drawn = self.page.desk.revision
        if foreign:
            self.wrong.clear()
        if (self.source, self.data) != (self.page.desk.source, self.page.data):
            ui.navigate.reload()  # other images, with other shapes, or the same ones decoded in another way
            return
        self.page.begin(self.images)  # chosen again in the meantime
        with self.surface.drawing(foreign=foreign):
            self.draw()


def undo_buttons(desk: Desk, act: Callable[[Callable[[], bool]], Callable[..., Any]]) -> None:
    """Undo and redo, which Ctrl+Z and Ctrl+Shift+Z press; ``act`` makes a handler of what they do.

    Each says what it takes back or does again, which may have been done on another step.
    """
    now = Work(desk.source, desk.draft)
    undo = f"Undo: {describe_change(desk.undone[-1], now)}" if desk.undone else "Undo"
    redo = f"Redo: {describe_change(now, desk.redone[-1])}" if desk.redone else "Redo"
    button(undo, act(desk.undo), "undo", disabled=not desk.undone, title="Ctrl+Z")
    button(redo, act(desk.redo), "redo", disabled=not desk.redone, title="Ctrl+Shift+Z")


def refusal(name: str, failure: RequestError) -> str:
    """A refusal in the words of the page, which knows fields by their names and not by their keys.

    >>> refusal("conv_1, filters", RequestError("...", expected="at least 1", got="-3"))
    'conv_1, filters: at least 1; got -3.'
    """
    return f"{name}: {f'{failure.expected}; got {failure.got}.' if failure.expected else failure}"


def unlike(expected: str, text: str) -> RequestError:
    """The error for what was typed and cannot be read as what is expected."""
    got = f"'{text[:MOST_SHOWN]}'"
    return RequestError(f"Expected {expected}; got {got}.", expected=expected, got=got)


# Of what was typed in a field.
MOST_SHOWN = 60


def whole(text: str) -> int:
    """What was typed, as a whole number.

    Raises:
        RequestError: It is none.
    """
    try:
        return int(text)
    except ValueError:
        raise unlike("a whole number", text) from None


def real(text: str) -> float:
    """What was typed, as a number.

    Raises:
        RequestError: It is none.
    """
    try:
        return float(text)
    except ValueError:
        raise unlike("a number", text) from None
