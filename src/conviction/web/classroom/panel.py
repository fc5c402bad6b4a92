"""The class on a page: a table of what everybody has done, and the same as a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime

from nicegui import ui
from nicegui.events import GenericEventArguments

from conviction.reporting import Table
from conviction.web.classroom.learners import Learner
from conviction.web.classroom.results import ResultRow, class_results, results_csv
from conviction.web.elements.plain import button, heading, paragraph, table, tag

COLUMNS = (
    "learner",
    "run",
    "source",
    "changes",
    "validation",
    "test",
    "verdict",
    "read",
    "quizzes",
    "guesses",
)


def class_panel(
    title: str, learners: Callable[[], Iterable[Learner]], sign_out: Callable[[], Awaitable[int]]
) -> None:
    """Builds the table into the current container; only a teacher's page may hold it.

    Args:
        title: Of the course.
        learners: Those of the class, asked each time the table is drawn.
        sign_out: Ends the sessions of all learners, and returns how many there were.
    """
    heading(title)
    container = tag("div")

    def draw(_: GenericEventArguments | None = None) -> None:
        rows = class_results(learners())
        container.clear()
        with container:
            _summary(rows)
            table(Table(COLUMNS, tuple(map(_cells, rows)), right=(4, 5)), title)

    def download(_: GenericEventArguments) -> None:
        day = datetime.now(UTC).date().isoformat()
        # With a byte order mark, or Excel takes UTF-8 for something else.
        content = ("\ufeff" + results_csv(class_results(learners()))).encode()
        ui.download.content(content, f"results-{day}.csv", "text/csv; charset=utf-8")

    async def reset(_: GenericEventArguments) -> None:
        ended = await sign_out()
        signed_out.set_text(f"Sessions ended: {ended}. Everybody joins again with a name and a token.")

    draw()
    signed_out = tag("p", "", "note", role="status")
    with tag("div", "", "buttons"):
        button("Download as CSV", download, "class-csv", "primary")
        button("Refresh", draw, "class-again")
        button("Sign everybody out", reset, "class-reset")


def _summary(rows: Sequence[ResultRow]) -> None:
    names = {row.learner for row in rows}
    runs = [row for row in rows if row.run]
    finished = sum(row.status == "done" for row in runs)
    paragraph(f"Learners: {len(names)}. Runs: {len(runs)}, of which {finished} finished.", "lead")
    for row in rows:
        if row.trouble:
            paragraph(f"{row.learner}{f', {row.run}' if row.run else ''}: {row.trouble}", "message trouble")


def _cells(row: ResultRow) -> tuple[str, ...]:
    validation = "" if row.validation_accuracy is None else f"{row.validation_accuracy:.1%}"
    test = "" if row.test_accuracy is None else f"{row.test_accuracy:.1%} (opened {row.openings or 0})"
    if row.status == "done" and not test:
        test = "sealed"
    return (
        row.learner,
        row.run,
        row.source,
        row.changes or row.recipe,
        validation or row.status,
        test,
        row.verdict,
        row.chapters_read,
        row.quizzes,
        row.guesses,
    )
