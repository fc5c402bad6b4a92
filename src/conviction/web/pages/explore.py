"""Step 8: the lab's questions as experiments in the background, one at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from conviction.experiments.exploration_page import title
from conviction.experiments.questions import questions_about
from conviction.flow.differences import OF_FILES
from conviction.lesson.claims import claims
from conviction.web.elements.plain import choice, link, number, paragraph, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.starts import OF_EXPLORE
from conviction.web.pages.claim import ClaimCard
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop, aim
from conviction.web.pages.question import QuestionCard, base_of, epochs_of, seeds_of, state_of_question
from conviction.web.work.changes import word_of

BASES = {"own": "what I have built", "lab": "the lab's network"}
BUDGETS = {"": "all, in every epoch", "3000": "3,000", "12000": "12,000", "60000": "60,000"}
READING = (
    "Arm: one setting that is tried. Each is compared with the base, that is, with what you start from.",
    "Seed: the number that decides the initial weights, the order and the split. Base and arm are trained once with "
    "each seed, and the two are compared seed by seed; one seed alone shows nothing.",
    "The line is the 95% interval of the difference in validation accuracy, the dot its mean, both in percentage "
    "points. Orange: a difference was found.",
    "1.2 times the work: 1.2 times as many multiply-adds for one picture. The time is what training took here.",
    "Holm's method: of several comparisons one may look like a difference by chance. p-values are made larger so that "
    "this stays below 5% for all of them together; an interval alone is not corrected.",
    "Detecting a difference of 0.5 points would take 7 to 40 seeds: if an arm were truly half a percentage point "
    "better or worse, an experiment with about that many seeds would detect it four times out of five. The range is "
    "wide because a few seeds say little about how much results vary from seed to seed.",
)


async def explore_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        _Questions(page).show()
        onward(page, "Take it away", page.to("take"))


STOP = Stop(
    "explore",
    "Explore",
    "hyperparameters",
    explore_page,
    partial(aim, "hyperparameters"),
    drafts=True,
    links=(ChapterLink("hyperparameters", "questions"),),
)


def _base_sentence(page: PageContext) -> str:
    """What a guess is about, in words."""
    base = base_of(page)
    settings = {k: v for k, v in base.items() if k not in ("recipe", "model.layers", *OF_EXPLORE)}
    words = [_setting(key, value) for key, value in settings.items()]
    layers = base.get("model.layers")
    network = (
        "the lab's network" if layers is None else f"your network of {len(layers)} layers and the output"
    )
    return f"Each experiment starts from {network}" + (f", with {', '.join(words)}." if words else ".")


def _setting(key: str, value: Any) -> str:
    if key in ("data.group", *OF_FILES):
        return word_of(key)
    return f"{word_of(key)} {value}"


class _Questions:
    """One question at a time, and the way to the others."""

    def __init__(self, page: PageContext) -> None:
        self.page = page
        self.listed: Any = None
        self.card = self._claim_card() or QuestionCard(page, self._first())

    def _claim_card(self) -> QuestionCard | None:
        """The card of the claim in the address; None where there is none that can be tested."""
        claim = claims().get(self.page.query.get("claim", ""))
        if claim is None or claim.experiment is None:
            return None
        return ClaimCard(self.page, claim, claim.experiment)

    def _first(self) -> str:
        """The question of the address; else one that is being answered, or the first that is not answered yet."""
        possible = questions_about(base_of(self.page))
        asked = self.page.query.get("question", "")
        if asked in possible:
            return asked
        states = {question: state_of_question(self.page, question) for question in possible}
        for state in ("started", ""):
            for question in possible:
                if states[question] == state:
                    return question
        return possible[0]

    def show(self) -> None:
        """Shows everything, and looks once a second what has changed."""
        self.nav = Surface()
        self.card.show()
        self._settings()
        self._look()
        ui.timer(1.0, self._look)

    def _look(self) -> None:
        possible = questions_about(base_of(self.page))
        if self.card.question not in (*possible, *claims()):
            ui.navigate.to(self.page.to("explore"))
            return
        listed = [(question, state_of_question(self.page, question)) for question in possible]
        if listed != self.listed:
            self.listed = listed
            with self.nav.drawing(), tag("nav", "", aria_label="Questions"), tag("ul", "", "questions"):
                for question, state in listed:
                    current = {"aria_current": "page"} if question == self.card.question else {}
                    with tag("li"):
                        link(title(question), self.page.to("explore", question=question), **current)
                        if state:
                            tag("span", state, f"pill {state}")
        self.card.look()

    def _settings(self) -> None:
        page, kept = self.page, self.page.desk.kept

        def put(key: str, least: int, most: int) -> Any:
            def change(text: str) -> None:
                kept[key] = max(least, min(most, int(text) if text.isdecimal() and len(text) < 9 else least))
                page.keep()
                self.card.look()

            return page.guarded(change)

        def put_budget(text: str) -> None:
            kept["budget"] = text if text in BUDGETS else ""
            page.keep()
            self.card.look()

        def put_base(value: str) -> None:
            kept["base"] = value if value in BASES else "own"
            page.keep()
            base_line.set_text(_base_sentence(page))
            self._look()

        with tag("details", "", "experts"):
            tag("summary", "Settings: starting point, seeds and epochs")
            with tag("div", "", "fields"):
                choice("Start from", BASES, kept.get("base", "own"), page.guarded(put_base), "base")
                number("Seeds", seeds_of(page), put("seeds", 1, 20), "seeds", min=1, max=20, step=1)
                epochs = put("explore_epochs", 1, 100)
                number("Epochs", epochs_of(page), epochs, "epochs", min=1, step=1)
                budget = kept.get("budget", "")
                choice(
                    "Images seen by a run, over all epochs",
                    BUDGETS,
                    budget,
                    page.guarded(put_budget),
                    "budget",
                )
            base_line = paragraph(_base_sentence(page), "note")
            paragraph(
                "More seeds make intervals narrower, and take longer in proportion. The number of epochs is set here, "
                "so that an experiment does not take as long as a training. An image is seen again in every epoch, "
                "and counts each time: 1,000 images in 3 epochs are 3,000 seen.",
                "note",
            )
        with tag("details"):
            tag("summary", "How to read an answer")
            for sentence in READING:
                paragraph(sentence, "note")
