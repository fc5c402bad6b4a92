"""Step 6: what every layer makes of a picture, and the numbers behind any one value."""

from __future__ import annotations

from conviction.web.inside.kept import Kept
from conviction.web.inside.panel import inside_panel
from conviction.web.pages.evaluate import pick_run
from conviction.web.pages.frame import framed, onward
from conviction.web.work.lab import Here


async def inside_page(here: Here) -> None:
    """Builds the step."""
    with framed(here):
        run = pick_run(here, "inside")
        if run is None:
            return

        kept = here.lab.kept.setdefault(here.owner, Kept())
        inside_panel(run.path, here.lab.inspector, kept, query=here.query, on_query=here.mark)
        onward(here, "Explore", here.to("explore"))
