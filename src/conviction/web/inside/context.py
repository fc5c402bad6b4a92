"""What a part of the panel, such as the chooser, needs of it; the parts know nothing else of the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from conviction.web.inside.inspector import Inspector
from conviction.web.inside.kept import Kept
from conviction.web.inside.seeing import Picture
from conviction.web.inside.view import View


class PanelContext(Protocol):
    """The panel to its parts.

    Attributes:
        run: The run folder.
        inspector: Answers questions about it.
        kept: Pictures that were uploaded or drawn.
        view: What was requested last, even while it is still loading.
    """

    run: Path
    inspector: Inspector
    kept: Kept
    view: View

    async def go(self, view: View) -> None:
        """Looks at something else."""

    async def picture(self, view: View) -> Picture:
        """The picture of a view."""

    def say(self, sentence: str, kind: str = "") -> None:
        """Shows a sentence at the top of the panel."""
