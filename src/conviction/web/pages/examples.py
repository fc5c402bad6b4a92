"""A few validation images on the page of a training, with what the network says about them so far."""

from __future__ import annotations

import time
from pathlib import Path

from nicegui import ui

from conviction.errors import ConvictionError
from conviction.runs import folder
from conviction.web.elements.plain import paragraph, tag, tick
from conviction.web.pages.glimpse import Glimpse, glimpse
from conviction.web.pages.page import PageContext

# Asking takes a core away from training for a moment; this rarely, it goes unnoticed.
REST_SECONDS = 5.0


class Examples:
    """Shown unless somebody does not want it; in a class, where many share one process that answers, if they ask."""

    def __init__(self, page: PageContext, path: Path) -> None:
        self.page, self.path = page, path
        # Not before the page has been open for a while: most short trainings are done by then.
        self.asked_for, self.asked_at = 0, time.monotonic()
        self.asking = False

    def show(self) -> None:
        """Shows the box to tick, and below it the answers, which are updated after each epoch."""
        tick("Show how it answers a few validation images", self._on, self._turn, "examples")
        self.container = tag("div")
        ui.timer(1.0, self._look)

    @property
    def _on(self) -> bool:
        return bool(self.page.desk.kept.get("examples", self.page.lab.course is None))

    def _turn(self, on: bool) -> None:
        self.page.desk.kept["examples"] = on
        self.page.keep()
        if not on:
            self.container.clear()

    async def _look(self) -> None:
        run = self.page.lab.watcher.run(self.path)
        rested = time.monotonic() - self.asked_at > REST_SECONDS
        if not self._on or self.asking or not rested or len(run.rows) <= self.asked_for:
            return
        self.asking, self.asked_for, self.asked_at = True, len(run.rows), time.monotonic()
        try:
            began = (self.path / folder.CONFIG).stat().st_mtime
            latest = await self.page.lab.helper.call(glimpse, str(self.path), self.page.lab.data_dir, began)
        except (ConvictionError, OSError):
            return  # the next epoch asks again
        finally:
            self.asking, self.asked_at = False, time.monotonic()
        self._draw(latest)

    def _draw(self, latest: Glimpse) -> None:
        self.container.clear()
        with self.container:
            right = sum(answer.right for answer in latest.answers)
            paragraph(
                f"After epoch {latest.epoch}: {right} of these {len(latest.answers)} are right.", "note"
            )
            with tag("ul", "", "answers"):
                for answer in latest.answers:
                    with tag("li", "", "right" if answer.right else ""):
                        tag("img", "", "sharp", src=answer.picture, alt=f"A picture of {answer.truth}")
                        tag("b", answer.predicted)
                        tag("span", f" {answer.sure:.0%}" + ("" if answer.right else f", is {answer.truth}"))
