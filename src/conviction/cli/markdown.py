"""Markdown in the terminal, at most 80 columns wide: longer lines are hard to read."""

from __future__ import annotations

import re
import sys
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown
from rich.text import Text
from rich.theme import Theme

from conviction.reporting import console

WIDEST = 80
# As the steps of a run; rich sets code in a black box, which is ugly on a light terminal.
_THEME = Theme({"markdown.h1": "bold", "markdown.h2": "bold cyan", "markdown.code": "cyan"})
_LINK = re.compile(r"\[([^\]]+)\]\((?:glossary|reference):[^)]*\)")


class _Left(Heading):
    """A heading at the left, where the eye is; rich centres them and draws a box."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        if self.tag != "h1":
            yield Text("")
        yield self.text


class _Page(Markdown):
    elements: ClassVar = {**Markdown.elements, "heading_open": _Left}


def print_markdown(text: str) -> None:
    """Prints a text on stdout; links into glossary and sources, which a terminal cannot follow, in italics."""
    out = console(sys.stdout)
    out.width = min(out.width, WIDEST)
    out.push_theme(_THEME)
    out.print(
        _Page(
            _LINK.sub(r"*\1*", text), code_theme="ansi_dark", inline_code_theme="ansi_dark", hyperlinks=False
        )
    )
