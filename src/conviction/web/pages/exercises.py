"""Step 10: parts of a network that the learner writes, and a check that names mistakes."""

from __future__ import annotations

from itertools import groupby

# Adds its CodeMirror to the import map of the page, for ``live/exercise.js``.
import nicegui.elements.codemirror  # noqa: F401

from conviction.errors import ConvictionError
from conviction.exercises.catalogue import EXERCISES, exercise_named
from conviction.exercises.exercise import Exercise
from conviction.exercises.progress import state_text
from conviction.lesson.progress import ExerciseProgress, load_progress
from conviction.lesson.shelf import chapters
from conviction.web.elements.plain import heading, link, paragraph, tag
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop


async def exercises_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        if page.part:
            number, exercise = exercise_named(page.part)
            _workplace(page, number, exercise)
        else:
            _listing(page)


def _to(page: PageContext, exercise: Exercise) -> str:
    # Opens the exercise's chapter beside it.
    return page.to("exercises", exercise.name, chapter=exercise.chapter)


def _chosen(page: PageContext) -> list[tuple[int, Exercise]]:
    """The exercises of the course's chapters, with their numbers."""
    numbered = enumerate(EXERCISES, 1)
    return [(n, e) for n, e in numbered if page.lab.chapters is None or e.chapter in page.lab.chapters]


def _listing(page: PageContext) -> None:
    try:
        known = load_progress(page.lab.progress_of(page.owner)).exercises
    except ConvictionError as failure:
        page.say(str(failure))
        known = {}
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


def _workplace(page: PageContext, number: int, exercise: Exercise) -> None:
    with tag("p", "", "soft"):
        link("All exercises", page.to("exercises"))
    heading(f"{number}. {exercise.title}")
    paragraph(exercise.task)
    if page.lab.start_key is None:
        with tag("div", "", "message"):
            paragraph(_why_no_code(page, number))
        tag("pre", exercise.stub, "code", tabindex=0, role="region", aria_label="Starter code")
        return
    following = EXERCISES[number] if number < len(EXERCISES) else None
    # Filled by ``live/exercise.js``.
    tag(
        "div",
        "",
        "exercise",
        data_name=exercise.name,
        data_title=exercise.title,
        data_stub=exercise.stub,
        data_next="" if following is None else _to(page, following),
        data_next_title="" if following is None else following.title,
    )


def _why_no_code(page: PageContext, number: int) -> str:
    if page.lab.course is not None:
        return (
            "In a class, this page does not run your code, because it would run on the teacher's computer. Ask your "
            f"teacher for the notebook, or install conviction on your own computer and run: conviction exercise start "
            f"{number}"
        )
    return (
        "This lab does not run code, because other machines can reach it. To write exercises on the page, start the "
        f"lab for this machine alone. You can also work in a terminal: conviction exercise start {number}"
    )


STOP = Stop(
    "exercises",
    "Exercises",
    "data",
    exercises_page,
    lambda: (
        "Write parts of a network yourself. A check shows the smallest input that your code gets wrong, and names the "
        "mistake if it is a common one."
    ),
    parts={exercise.name: exercise.title for exercise in EXERCISES},
    links=tuple(
        ChapterLink(chapter, "exercises")
        for chapter in dict.fromkeys(exercise.chapter for exercise in EXERCISES)
    ),
)
