"""Step 6: the finished network answers what one draws, a picture, or the camera."""

from __future__ import annotations

from conviction.web.elements.plain import paragraph, tag
from conviction.web.pages.evaluate import pick_run
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop
from conviction.web.work.addresses import answers_address


async def try_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        status = pick_run(page)
        if status is None:
            return
        # Filled by ``live/trying.js``.
        tag("div", "", "trying", data_answers=answers_address(page.desk.id, page.part))
        paragraph(
            "It always picks one of its classes. Show it something that it has never seen, and look how sure it is.",
            "note",
        )
        onward(page, "Look inside", page.to("inside", page.part))


STOP = Stop(
    "try",
    "Try it",
    "evaluating",
    try_page,
    # A step that the terminal does not have.
    lambda: "Draw, drop a picture, or use the camera: the network answers at once.",
    needs="end",
    links=(ChapterLink("evaluating", "try it"),),
)
