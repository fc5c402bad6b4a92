"""Step 10: parts of a network that the learner writes, and a check that names mistakes."""

from __future__ import annotations

from itertools import groupby

# Its CodeMirror comes into the import map of the page, for ``live/exercise.js``.
import nicegui.elements.codemirror  # noqa: F401

from conviction.exercises.catalogue import EXERCISES, exercise_named
from conviction.exercises.exercise import Exercise
from conviction.exercises.remembering import state_text
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


def _workplace(page: PageContext, number: int, exercise: Exercise) -> None:
    with tag("p", "", "soft"):
        link("All exercises", page.to("exercises"))
    heading(f"{number}. {exercise.title}")
    paragraph(exercise.task)
    if page.lab.code is None:
        with tag("div", "", "message"):
            paragraph(_why_no_code(page))
        tag("pre", exercise.stub, "code", tabindex=0, role="region", aria_label="What is to be written")
        return
    following = dict(_chosen(page)).get(number + 1)
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


def _why_no_code(page: PageContext) -> str:
    if page.lab.course is not None:
        return (
            "In a class, code does not run here: it would run on your teacher's machine. Write this exercise in a "
            "notebook, which your teacher can give you, or with conviction on a machine of your own."
        )
    return (
        "Code does not run here, because other machines can reach this lab. To write exercises on the page, start the "
        "lab for this machine alone. In a terminal, conviction exercise checks them too."
    )


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
