"""Step 7: what every layer makes of a picture, and the numbers behind any one value."""

from __future__ import annotations

from pathlib import Path

from conviction.web.inside.inspector import Inspector
from conviction.web.inside.kept import Kept
from conviction.web.inside.panel import inside_panel
from conviction.web.pages.evaluate import pick_run
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop


async def inside_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        run = pick_run(page)
        if run is None:
            return

        kept = page.lab.kept.setdefault(page.owner, Kept())
        data_dir = None if page.lab.data_dir is None else Path(page.lab.data_dir)
        inspector = Inspector(page.lab.helper, data_dir)
        inside_panel(run.path, inspector, kept, query=page.query, on_query=page.mark)
        onward(page, "Explore", page.to("explore"))


STOP = Stop(
    "inside",
    "Look inside",
    "architecture",
    inside_page,
    # A step that the terminal does not have.
    lambda: (
        "See what every layer makes of a picture, down to each product and sum. Choose a picture, open a file, or draw "
        "one."
    ),
    needs="epoch",
    links=(
        *(ChapterLink(chapter, "inside") for chapter in ("architecture", "evaluating", "transfer")),
        ChapterLink("backpropagation", "the way back"),
    ),
)
