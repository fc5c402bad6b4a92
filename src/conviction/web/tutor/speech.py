"""The element that reads a text aloud."""

from __future__ import annotations

from nicegui.element import Element

NO_VOICE = (
    "This browser has no voice, so nothing can be read aloud. Voices come with the operating "
    "system: look for them in its speech settings."
)


class Speech(Element, component="speech.js"):
    """Buttons that read, pause and stop.

    Args:
        target: A CSS selector of the text. Paragraphs with ``data-speaker`` are read in turns by two voices.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        self.props["target"], self.props["none"] = target, NO_VOICE
