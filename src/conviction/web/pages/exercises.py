"""Step 10: parts of a network that the learner writes, and a check that names mistakes."""

from __future__ import annotations

import asyncio
import json
from itertools import groupby
from pathlib import Path

from nicegui import ui

from conviction.errors import ConvictionError, RequestError
from conviction.exercises import DIRECTORY
from conviction.exercises.catalogue import EXERCISES, exercise_named
from conviction.exercises.checking import check_file
from conviction.exercises.exercise import Exercise
from conviction.exercises.files import MOST_BYTES, file_of, read, stub_file
from conviction.exercises.remembering import (
    next_hint,
    remember_check,
    show_solution,
    state_text,
)
from conviction.exercises.wording import Paragraph, paragraphs
from conviction.lesson.progress import ExerciseProgress, load_progress
from conviction.lesson.shelf import chapters
from conviction.runs import folder
from conviction.web.elements.plain import Tag, button, heading, link, paragraph, tag
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop

SAVE_SECONDS = 1.0


async def exercises_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        if page.part:
            number, exercise = exercise_named(page.part)
            _Workplace(page, number, exercise)
        else:
            _listing(page)


def _to(page: PageContext, exercise: Exercise) -> str:
    # With the chapter that it belongs to beside it.
    return page.to("exercises", exercise.name, chapter=exercise.chapter)


def _chosen(page: PageContext) -> list[tuple[int, Exercise]]:
    """Those of the course's chapters, with their numbers."""
    numbered = enumerate(EXERCISES, 1)
    return [(n, e) for n, e in numbered if page.lab.chapters is None or e.chapter in page.lab.chapters]


def _listing(page: PageContext) -> None:
    known = load_progress(page.lab.progress_of(page.owner)).exercises
    states = {e.name: known.get(e.name, ExerciseProgress()) for _, e in _chosen(page)}
    titles = {chapter.name: chapter.title for chapter in chapters()}
    for chapter, exercises in groupby(_chosen(page), lambda pair: pair[1].chapter):
        heading(titles[chapter])
        with tag("ol", "", "exercises"):
            for number, exercise in exercises:
                state = states[exercise.name]
                with tag("li", "", "right" if state.passed else "", value=number):
                    link(exercise.title, _to(page, exercise))
                    tag("span", state_text(state), "soft")
    if not states:
        paragraph("No exercise belongs to the chapters of this course.")
    following = next((e for _, e in _chosen(page) if states[e.name].passed is None), None)
    if following is not None:
        onward(page, following.title, _to(page, following))


class _Workplace:
    """One exercise: the task, an editor, and what a check says."""

    def __init__(self, page: PageContext, number: int, exercise: Exercise) -> None:
        self.page, self.number, self.exercise = page, number, exercise
        self.progress = page.lab.progress_of(page.owner)
        self.checking = False
        with tag("p", "", "soft"):
            link("All exercises", page.to("exercises"))
        heading(f"{number}. {exercise.title}")
        paragraph(exercise.task)
        if not page.may_run_code:
            self._refuse()
            return
        self.file = _File(exercise)
        self.editor = _editor(self.file.content, f"Your code for {exercise.title}")
        paragraph(
            f"It is kept in {self.file.path}, which you can also open in an editor of your own. Tab indents; Escape, "
            "then Tab, leaves the editor.",
            "note",
        )
        with tag("div", "", "buttons"):
            button("Check", page.guarded(self._check), "check", "primary")
            button("Hint", page.guarded(self._hint), "hint")
            button("Solution", page.guarded(self._solution), "solution", "quiet")
            button("Begin again", page.guarded(self._begin_again), "begin-again", "quiet")
        self.result = tag("div", "", "judgement", role="status")
        self.help = tag("div", role="status")
        ui.timer(SAVE_SECONDS, self._keep)
        ui.context.client.on_disconnect(self._keep)

    def _refuse(self) -> None:
        with tag("div", "", "message"):
            if self.page.lab.course is not None:
                paragraph(
                    "In a class, code does not run here: it would run on your teacher's machine. Write this exercise "
                    "in a notebook, which your teacher can give you, or with conviction on a machine of your own."
                )
            else:
                paragraph(
                    "Code that is written here runs on the machine of this lab, so only whoever started the lab may "
                    "do that. Open the link that it printed when it was started."
                )
        tag("pre", self.exercise.stub, "code", tabindex=0, role="region", aria_label="What is to be written")

    def _keep(self) -> None:
        """Saves from time to time; what is said about something else stays."""
        try:
            self.file.save(self.editor.value or "")
        except ConvictionError as failure:
            self.page.say(str(failure))

    async def _check(self, *_: object) -> None:
        if self.checking:
            return
        self.checking = True
        try:
            text = self.editor.value or ""
            self.file.save(text)
            _show(self.result, [Paragraph("Your code is running.")], "waiting")
            judgement = await asyncio.to_thread(check_file, self.exercise, self.file.path, text)
            await asyncio.to_thread(remember_check, self.exercise, judgement, self.progress)
        except BaseException:
            self.result.clear()
            raise
        finally:
            self.checking = False
        self.page.say("")
        _show(
            self.result,
            paragraphs(self.exercise, judgement),
            "message" if judgement.passed else "message trouble",
        )
        numbered = dict(_chosen(self.page))
        if judgement.passed and self.number + 1 in numbered:
            following = numbered[self.number + 1]
            with self.result:
                link(f"Next: {following.title}", _to(self.page, following), "button primary")

    async def _hint(self, *_: object) -> None:
        shown = await asyncio.to_thread(next_hint, self.exercise, self.progress)
        hints = self.exercise.hints
        self.help.clear()
        with self.help:
            heading(f"Hint {shown} of {len(hints)}", 3)
            with tag("ol"):
                for hint in hints[:shown]:
                    tag("li", hint)

    async def _solution(self, *_: object) -> None:
        source = await asyncio.to_thread(
            show_solution, self.exercise, 'Write something and press "Check".', self.progress
        )
        self.help.clear()
        with self.help:
            heading("A solution", 3)
            tag("pre", source.rstrip(), "code", tabindex=0, role="region", aria_label="A solution")

    def _begin_again(self, *_: object) -> None:
        before = self.editor.value or ""
        self.editor.set_value(stub_file(self.exercise))
        self.result.clear()
        self.help.clear()
        with self.help, tag("div", "", "message"):
            paragraph("The task is as it was at the beginning.")
            button("Bring my code back", lambda _: self._bring_back(before), "bring-back")

    def _bring_back(self, text: str) -> None:
        self.editor.set_value(text)
        self.help.clear()


class _File:
    """The learner's file, which other programs may change as well."""

    def __init__(self, exercise: Exercise) -> None:
        self.path: Path = file_of(exercise, DIRECTORY)
        self._exercise = exercise
        there = self.path.is_file()
        self.content = read(exercise, DIRECTORY) if there else stub_file(exercise)
        self._known = self.content if there else None

    def save(self, text: str) -> None:
        """Writes what has been changed.

        Raises:
            RequestError: It is too large; or another program has changed the file since, which is left as it is, once.
            OutputError, StorageError: It cannot be read or written.
        """
        if text in (self.content, self._known):
            return
        if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
            raise RequestError(f"{self.path}: expected at most {MOST_BYTES:,} bytes, and it has more.")
        there = read(self._exercise, DIRECTORY) if self.path.is_file() else None
        if there != self._known:
            self._known = there
            raise RequestError(
                f"{self.path} has been changed by another program. Load this page again to see that; if you go on "
                "here, your code takes its place."
            )
        with folder.storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text(self.path, text)
        self.content = self._known = text


def _editor(text: str, label: str) -> ui.codemirror:
    editor = ui.codemirror(text, language="Python", theme="githubLight").classes("editor")

    async def arrive() -> None:
        # For screen readers; and the colours of the page.
        dark = await ui.run_javascript(
            f"const box = document.querySelector('.editor .cm-content'); "
            f"if (box) {{ box.setAttribute('aria-label', {json.dumps(label)}); box.tabIndex = 0; }} "
            "return matchMedia('(prefers-color-scheme: dark)').matches"
        )
        if dark:
            editor.set_theme("githubDark")

    ui.timer(0.1, arrive, once=True)
    return editor


def _show(container: Tag, lines: list[Paragraph], kind: str) -> None:
    container.clear()
    with container, tag("div", "", kind):
        for line in lines:
            if line.verbatim:
                tag("pre", line.text, "code", tabindex=0, role="region", aria_label="Values")
                continue
            with tag("p"):
                if line.heading:
                    tag("b", f"{line.heading} ")
                tag("span", line.text)


STOP = Stop(
    "exercises",
    "Exercises",
    "data",
    exercises_page,
    lambda: (
        "Write the parts of a network yourself. A check names what is wrong, with the smallest input that shows it."
    ),
    parts={exercise.name: exercise.title for exercise in EXERCISES},
    links=tuple(
        ChapterLink(chapter, "exercises")
        for chapter in dict.fromkeys(exercise.chapter for exercise in EXERCISES)
    ),
)
