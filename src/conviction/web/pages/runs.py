"""All runs of an owner: how each learned, what was changed since the one before, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from conviction.runs.notes import MOST_NOTE, write_note
from conviction.web.elements.plain import button, heading, link, paragraph, tag, text_field
from conviction.web.elements.surface import Surface
from conviction.web.jobs.progress import RunStatus
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import MOST_NAME
from conviction.web.pages.page import PageContext
from conviction.web.pages.running import state_pill
from conviction.web.work.own_runs import (
    DeletedRun,
    bring_back,
    delete_run,
    deleted_runs,
    discard,
    rename_run,
)
from conviction.web.work.since import Since, since_the_one_before

# Of what was changed, this much is in view; the rest is one click away.
MOST_CHANGES = 3
# Of a drawing of the accuracies, in pixels.
WIDTH, HEIGHT = 84, 30


class RunList:
    """The list, newest first. One row at a time is open for changes.

    Args:
        page: The context of the page.
    """

    def __init__(self, page: PageContext) -> None:
        self.page = page
        self.open = ""
        self.listed: Any = None

    def show(self) -> None:
        """Makes room for it."""
        heading("All runs")
        self.surface = Surface()

    def look(self) -> None:
        """Shows the runs as they are now."""
        lab, owner = self.page.lab, self.page.owner
        runs = [(run, lab.jobs.last_at(run.path)) for run in lab.runs(owner)]
        deleted = deleted_runs(lab, owner)
        now = (runs, deleted, self.open)
        if now == self.listed:
            return
        self.listed = now
        with self.surface.drawing():
            self._draw(runs, deleted)

    def _draw(self, runs: Sequence[tuple[RunStatus, Job | None]], deleted: Sequence[DeletedRun]) -> None:
        if not runs:
            paragraph("You have no runs yet.", "soft")
        since = since_the_one_before([run for run, _ in runs])
        lowest = min((row.val_accuracy for run, _ in runs for row in run.rows), default=0.0)
        with tag("ul", "", "runs"):
            for run, job in runs:
                with tag("li"):
                    _accuracies(run, lowest)
                    self._about(run, job, since.get(run.path.name))
                    _figures(run)
                    self._hands(run)
        if deleted:
            heading("Deleted runs", 3)
            with tag("ul", "", "runs"):
                for one in deleted:
                    self._deleted(one)

    def _about(self, run: RunStatus, job: Job | None, since: Since | None) -> None:
        name = run.path.name
        with tag("div", "", "about-run"):
            with tag("div"):
                link(name, self.page.to("train", name))
                tag("span", *state_pill(run, job))
            if run.note:
                paragraph(run.note, "written")
            if since is not None:
                self._since(run.path.name, since)

    def _since(self, name: str, since: Since) -> None:
        words = since.words
        with tag("p", "", "soft"):
            if since.repeated:
                same = "network, settings and seed are the same, and so are the curves"
                tag("span", f"This repeats {since.name}: {same}.")
                return
            if not words:
                tag("span", f"The network and the settings are the same as in {since.name}.")
                return
            more = f", and {len(words) - MOST_CHANGES} more" if len(words) > MOST_CHANGES else ""
            tag("span", f"Compared with {since.name}: {'; '.join(words[:MOST_CHANGES])}{more}. ")
            if since.comparable:
                chance = len(words) == 1 and "training.seed" in since.settings
                question = "How much of this is chance?" if chance else "Did it help?"
                link(question, self.page.to("evaluate", name, beside=since.name))

    def _hands(self, run: RunStatus) -> None:
        name, owner = run.path.name, self.page.owner
        if self.open != name:
            button(
                "Edit",
                self._act(lambda: self._open(name)),
                f"edit-{name}",
                "quiet",
                aria_label=f"Edit {name}",
            )
            return

        def rename(new: str) -> None:
            rename_run(self.page.lab, owner, name, new.strip())
            self._open(new.strip())
            if self.page.part == name:
                self.page.part = new.strip()
                ui.navigate.to(self.page.to("train", self.page.part))

        def delete() -> None:
            delete_run(self.page.lab, owner, name)
            self._open("")
            if self.page.part == name:
                self.page.part = ""
                ui.navigate.to(self.page.to("train"))

        with tag("div", "", "fields"):
            text_field("Name", name, self._take(rename), "name", maxlength=MOST_NAME)
            note = self._take(lambda text: write_note(run.path, text))
            text_field("Note", run.note, note, "note", maxlength=MOST_NOTE)
            button("Done", self._act(lambda: self._open("")), "done")
            button(f"Delete {name}", self._act(delete), "delete", "quiet")

    def _deleted(self, one: DeletedRun) -> None:
        key = one.path.parent.name
        with tag("li"):
            tag("span", one.name)
            back = self._act(lambda: bring_back(self.page.lab, self.page.owner, one))
            button("Bring it back", back, f"back-{key}", "quiet", aria_label=f"Bring {one.name} back")
            gone = self._act(lambda: discard(self.page.lab, one))
            button(
                "Delete it for good", gone, f"gone-{key}", "quiet", aria_label=f"Delete {one.name} for good"
            )

    def _open(self, name: str) -> None:
        self.open = name

    def _act(self, do: Callable[[], object]) -> Callable[..., Any]:
        return self._take(lambda _: do())

    def _take(self, do: Callable[[Any], object]) -> Callable[..., Any]:
        """A handler that does something with what was typed, and draws what came of it."""

        def handler(value: Any = None) -> None:
            try:
                do(value)
            finally:
                self.listed = None
                self.page.lab.watcher.look_again()
                self.look()

        return self.page.guarded(handler)


def _accuracies(run: RunStatus, lowest: float) -> None:
    """Training and validation accuracy by epoch as two lines, for the eye alone: the figures stand beside them."""
    with tag("svg", "", "accuracies", viewBox=f"0 0 {WIDTH} {HEIGHT}", aria_hidden="true"):
        for name in ("accuracy", "val_accuracy"):
            values = [getattr(row, name) for row in run.rows]
            last, span = max(1, len(values) - 1), max(1e-9, 1.0 - lowest)
            points = [
                f"{2 + (WIDTH - 4) * i / last:.1f},{HEIGHT - 2 - (HEIGHT - 4) * max(0.0, v - lowest) / span:.1f}"
                for i, v in enumerate(values)
            ]
            tag("polyline", "", name, points=" ".join(points if len(points) > 1 else points * 2))


def _figures(run: RunStatus) -> None:
    with tag("div", "", "figures-of-run"):
        if run.rows:
            tag("span", f"validation {run.rows[-1].val_accuracy:.2%} in the last epoch")
        if run.test_accuracy is not None:
            tag("span", f"test {run.test_accuracy:.2%}")
