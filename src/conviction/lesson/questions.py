"""The questions after a chapter: most are computed from a run, the others are kept in ``text/questions.yaml``."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from conviction.lesson import ask_changes, ask_figures, ask_gradients, ask_network, ask_transfer
from conviction.lesson.facts import Facts
from conviction.lesson.question import Maker, Option, Question, QuestionDraft
from conviction.lesson.shelf import table
from conviction.lesson.words import render_line

MAKERS: dict[str, tuple[Maker, ...]] = {
    **ask_network.MAKERS,
    **ask_figures.MAKERS,
    **ask_gradients.MAKERS,
    **ask_changes.MAKERS,
    **ask_transfer.MAKERS,
}
MOST_OPTIONS = 4


def questions(chapter: str, facts: Facts, seed: int = 0) -> list[Question]:
    """The questions of a chapter for a run, the computed ones first.

    Args:
        chapter: Its name.
        facts: Of the run.
        seed: Decides which layers are asked about, and the order of the options.
    """
    return list(_settled(chapter, [*_computed(chapter, facts, seed), *_written(chapter, facts)], seed))


def _computed(chapter: str, facts: Facts, seed: int) -> Iterator[tuple[str, QuestionDraft]]:
    for maker in MAKERS[chapter]:
        name = maker.__name__.strip("_")
        draft = maker(facts, random.Random(f"{seed} {name}"))
        if draft is not None:
            yield name, draft


def _written(chapter: str, facts: Facts) -> Iterator[tuple[str, QuestionDraft]]:
    for entry in table("questions").get(chapter, []):
        right, *wrong = (
            (render_line(option["text"], facts), render_line(option["why"], facts))
            for option in (entry["right"], *entry["wrong"])
        )
        yield entry["name"], QuestionDraft(render_line(entry["prompt"], facts), right, wrong)


def _settled(chapter: str, drafts: Iterable[tuple[str, QuestionDraft]], seed: int) -> Iterator[Question]:
    """Leaves out wrong options that say the same as another, and mixes the rest."""
    for name, draft in drafts:
        options = [Option(draft.right[0], True, draft.right[1])]
        for text, why in draft.wrong:
            if len(options) < MOST_OPTIONS and all(text != option.text for option in options):
                options.append(Option(text, False, why))
        random.Random(f"{seed} order of {name}").shuffle(options)
        if len(options) > 1:
            yield Question(chapter, name, draft.prompt, tuple(options))
