"""Pictures of one session in one part of the split: the choice, and what it changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from conviction.data import ImageSet
from conviction.data.findings import plural
from conviction.data.group import AUTO
from conviction.web.elements.plain import button, heading, link, paragraph, tag, tick
from conviction.web.pages.page import PageContext
from conviction.web.work.desk import NAMED_SESSIONS
from conviction.web.work.lab import facts_about
from conviction.web.work.sources import Checked

KEY = "data.group"
LABEL = "Keep pictures of one session together"


def group_button(page: PageContext, images: ImageSet) -> None:
    """The button of the finding that there are sessions."""
    take = _taking(page, images)
    button("Keep each session in one part", page.guarded(lambda *_: take(True)), "group-sessions", "primary")


def show_sessions(page: PageContext, images: ImageSet, checked: Checked) -> None:
    """The box to tick at the split, and where the sessions are now; nothing for arrays, which have no names."""
    if not images.headers:
        return
    heading("Sessions")
    if page.data.group == NAMED_SESSIONS:
        paragraph("Each of your recordings stays in one part.")
        return
    with tag("div", "", "fields"):
        tick(LABEL, page.data.group == AUTO, page.guarded(_taking(page, images)), "group")
    paragraph(sessions_sentence(checked, together=page.data.group == AUTO))
    paragraph(
        "A session is a burst, a video or a sitting. Its pictures are much alike: if some of them are learned from and "
        "others tested on, the accuracy is too good for pictures of a new session.",
        "note",
    )
    if checked.audit.sessions.groups:
        with tag("p", "", "note"):
            link("The sessions, with pictures, at Audit", page.to("data", "audit"))


def sessions_sentence(checked: Checked, *, together: bool) -> str:
    """How many sessions there are, and whether the split divides them.

    Args:
        checked: Audit and split.
        together: Whether the split was asked to keep them together.
    """
    sessions, divided = checked.audit.sessions, checked.divided
    if not sessions.groups:
        change = "" if together else ", so this would change nothing"
        looked = (
            ", in which a pretrained network looked at every picture," if sessions.eyes == "features" else ""
        )
        return f"The audit{looked} found no sessions{change}."
    are = "is" if len(sessions.groups) == 1 else "are"
    beginning = f"{sessions.pictures:,} pictures {are} of {plural(len(sessions.groups), 'session')}"
    if not divided:
        return f"{beginning}, and no session is divided between training, validation and test."
    apart = (
        f"{divided:,} of them {'is' if divided == 1 else 'are'} divided between training, validation and test"
    )
    # Parts that the source brings are never changed.
    why = ": the source brings these parts itself, and they stay as they are" if together else ""
    return f"{beginning}; {apart}{why}."


def _taking(page: PageContext, images: ImageSet) -> Callable[[bool], Awaitable[None]]:
    async def take(on: Any) -> None:
        draft = page.draft.with_key(KEY, AUTO if on else None, facts_about(images, page.data))
        if page.desk.change(draft):
            await page.keep_beside()
        ui.navigate.reload()

    return take
