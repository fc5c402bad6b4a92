"""Step 8: the lab's questions as experiments in the background; a guess first, then what was found beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from conviction.experiments.exploration_page import title
from conviction.experiments.questions import QUESTIONS, SHEETS, arms_of, questions_about
from conviction.experiments.store import ExplorationResult, KeptDifference, KeptFinding
from conviction.lesson.shelf import sheets
from conviction.web.classroom import keep_guess
from conviction.web.elements.plain import button, choice, heading, link, number, paragraph, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.progress import StudyStatus
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import EXPLORATIONS, OF_EXPLORE, next_name, start_explore, stem_of
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop, aim
from conviction.web.work.guess import NO_DIFFERENCE, NO_GUESS, guess_text, judged

# As ``classroom.Learner`` calls it.
GUESSES = "guesses.jsonl"
BASES = {"own": "what I have built", "lab": "the lab's network"}
EPOCHS, SEEDS, BUDGETS = (
    3,
    3,
    {"": "all, in every epoch", "3000": "3,000", "12000": "12,000", "60000": "60,000"},
)
# For questions that no sheet of the lesson covers.
SHORT = {
    "recipe": "A recipe is a whole specification under a name: lab is the classic network, fast takes a few epochs "
    "with a rate that rises and falls, best is deeper and wider and takes longer. They differ in more than one thing.",
    "backbone": "A frozen backbone makes the same of a picture in every epoch. Its last blocks, or all of it, can "
    "also learn from your pictures: at a small rate, in 8 epochs that take minutes. The last arm has no backbone: "
    "on pictures unlike photographs, a network that learns from them alone may be better.",
}
READING = (
    "Arm: one setting that is tried. Each is compared with the base, that is, with what you start from.",
    "Seed: the number that decides the initial weights, the order and the split. Base and arm are trained once with "
    "each seed, and the two are compared seed by seed; one seed alone shows nothing.",
    "The line is the 95% interval of the difference in validation accuracy, the dot its mean, both in percentage "
    "points. Orange: a difference was found.",
    "1.2 times the work: 1.2 times as many multiply-adds for one picture. The time is what training took here.",
    "Holm's method: of several comparisons one may look like a difference by chance. p-values are made larger so that "
    "this stays below 5% for all of them together; an interval alone is not corrected.",
    "A difference of 0.5 points would need 7 to 609 seeds: how many runs it would take to see a difference this "
    "small, estimated from how much these few seeds differ. A wide range means that there are too few of them to tell.",
)


async def explore_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        paragraph(
            "Each question is one experiment. Several networks are trained from the same seeds and splits: the one "
            "that you start from, and one or more that differ from it in one thing. They are compared on validation "
            "images; the test set stays sealed."
        )
        cards = [_Card(page, question) for question in QUESTIONS]
        _settings(page, cards)
        for card in cards:
            card.show()

        def look() -> None:
            for card in cards:
                card.look()

        ui.timer(1.0, look)
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


def base_of(page: PageContext) -> dict[str, Any]:
    """The keys of what the experiments start from."""
    draft = page.desk.draft
    own = draft is not None and page.desk.kept.get("base", "own") == "own"
    return draft.base() if own and draft is not None else {"recipe": "lab"}


def _base_sentence(page: PageContext) -> str:
    """What a guess is about, in words."""
    base = base_of(page)
    settings = {
        k.partition(".")[2]: v for k, v in base.items() if k not in ("recipe", "model.layers", *OF_EXPLORE)
    }
    keys = [
        "sessions kept together" if name == "group" else f"{name} {value}" for name, value in settings.items()
    ]
    layers = base.get("model.layers")
    network = (
        "the lab's network" if layers is None else f"your network of {len(layers)} layers and the output"
    )
    return f"Starts from {network}" + (f", with {', '.join(keys)}." if keys else ".")


def _settings(page: PageContext, cards: list[_Card]) -> None:
    kept = page.desk.kept

    def put(key: str, least: int, most: int) -> Any:
        def change(text: str) -> None:
            kept[key] = max(least, min(most, int(text) if text.isdecimal() and len(text) < 9 else least))
            page.keep()

        return page.guarded(change)

    def put_budget(text: str) -> None:
        kept["budget"] = text if text in BUDGETS else ""
        page.keep()

    def put_base(value: str) -> None:
        kept["base"] = value if value in BASES else "own"
        page.keep()
        base_line.set_text(_base_sentence(page))
        for card in cards:
            card.look()

    with tag("div", "", "fields"):
        choice("Start from", BASES, kept.get("base", "own"), page.guarded(put_base), "base")
        number("Seeds", kept.get("seeds", SEEDS), put("seeds", 1, 20), "seeds", min=1, max=20, step=1)
        number(
            "Epochs",
            kept.get("explore_epochs", EPOCHS),
            put("explore_epochs", 1, 100),
            "epochs",
            min=1,
            step=1,
        )
        choice("Images seen by a run, over all epochs", BUDGETS, kept.get("budget", ""), put_budget, "budget")
    base_line = paragraph(_base_sentence(page), "note")
    paragraph(
        "More seeds make intervals narrower, and take longer in proportion. The number of epochs is set here, so that "
        "an experiment does not take as long as a training. An image is seen again in every epoch, and counts each "
        "time: 1,000 images in 3 epochs are 3,000 seen.",
        "note",
    )
    with tag("details"):
        tag("summary", "How to read an answer")
        for sentence in READING:
            paragraph(sentence, "note")


def study_of(page: PageContext, question: str) -> Path | None:
    """The newest study of a question on this source."""
    prefix = _stem(page, question)
    root = page.root / EXPLORATIONS
    studies = [p for p in root.glob(f"{prefix}-*") if p.name.removeprefix(f"{prefix}-").isdecimal()]
    running = [Path(j.folder) for j in page.lab.jobs.of(page.owner) if j.kind == "explore" and j.alive]
    studies += [p for p in running if p.name.rpartition("-")[0] == prefix]
    return max(studies, key=lambda p: int(p.name.rpartition("-")[2]), default=None)


def _stem(page: PageContext, question: str) -> str:
    return f"{stem_of(page.desk.source)}-{question}"


class _Card:
    """A question: what to expect, the guess, the experiment, the answer."""

    def __init__(self, page: PageContext, question: str) -> None:
        self.page, self.question = page, question
        self.seen: Any = None

    def show(self) -> None:
        """The card."""
        self.surface = Surface()
        self.look()

    def look(self) -> None:
        """Redraws it when the experiment has progressed."""
        study = study_of(self.page, self.question)
        job = self.page.lab.jobs.last_at(study) if study else None
        status = self.page.lab.watcher.study(study) if study else None
        far = status and (status.done, status.trials, bool(status.result), status.trouble)
        state = (job, far, self.guess, self.labels, self.possible)
        if state == self.seen:
            return
        self.seen = state
        with self.surface.drawing():
            if self.possible:
                with tag("section", "", "question", id=f"question-{self.question}"):
                    self._draw(job, study, status)

    def _draw(self, job: Job | None, study: Path | None, status: StudyStatus | None) -> None:
        heading(title(self.question))
        sheet = next((s for s in sheets() if s.name == SHEETS.get(self.question)), None)
        paragraph(" ".join(sheet.short.split()) if sheet else SHORT[self.question], "note")
        if job is not None and job.alive:
            self._running(job, status)
        else:
            if job is not None and job.state == "failed":
                paragraph(job.reason, "message trouble")
            if status is not None and status.trouble:
                paragraph(f"The last experiment cannot be shown. {status.trouble}", "message trouble")
            if status is not None and status.result and study is not None:
                self._note(status.result, study)
                self._answer(status.result, study)
            self._ask(again=status is not None and bool(status.result))

    @property
    def possible(self) -> bool:
        """Whether the question can be asked about what the experiments start from."""
        return self.question in questions_about(base_of(self.page))

    @property
    def labels(self) -> list[str]:
        """Of the arms."""
        layers = "model.layers" in base_of(self.page)
        return [arm.label for arm in arms_of(self.question, layers=layers)]

    @property
    def guess(self) -> str:
        """What was expected, or nothing."""
        return self.page.desk.guesses.get(self.question, NO_GUESS)

    def _ask(self, *, again: bool) -> None:
        labels = self.labels
        options = {NO_GUESS: "Say what you expect ...", NO_DIFFERENCE: "No detectable difference"}
        options |= {f"+{a}": f"{a}: better" for a in labels} | {f"-{a}": f"{a}: worse" for a in labels}

        def put(value: str) -> None:
            if value:
                self.page.desk.guesses[self.question] = value
            else:
                self.page.desk.guesses.pop(self.question, None)
            self.page.keep()
            self.look()

        # A guess about other arms does not count for these.
        guess = self.guess if self.guess in options else NO_GUESS
        with tag("div", "", "fields"):
            choice("Your guess", options, guess, self.page.guarded(put), f"guess-{self.question}")
            button(
                "Ask again" if again else "Find out",
                self.page.guarded(self._start),
                f"start-{self.question}",
                "" if again else "primary",
                disabled=not guess,
                aria_label=f"{'Ask again' if again else 'Find out'}: {title(self.question)}",
            )

    async def _start(self, *_: Any) -> None:
        page, kept = self.page, self.page.desk.kept
        if page.lab.course is not None:
            page.lab.check_images(len(await page.images()))
        asked = study_of(page, self.question)
        if asked is not None and page.lab.jobs.at(asked):  # in another tab, or by a double click
            self.look()
            return
        root = page.root / EXPLORATIONS
        if page.owner:
            keep_guess(page.root / GUESSES, self.question, guess_text(self.guess))
        name = next_name(root, _stem(page, self.question), page.lab.jobs)
        kept.setdefault("asked", {})[name] = self.guess
        page.keep()
        start_explore(
            page.lab.jobs,
            page.owner,
            page.desk.source,
            self.question,
            root / name,
            seeds=kept.get("seeds", SEEDS),
            epochs=page.lab.most_epochs(kept.get("explore_epochs", EPOCHS)),
            budget=int(kept["budget"]) if kept.get("budget") else None,
            base=base_of(page),
        )
        page.lab.jobs.tick()
        self.look()

    def _note(self, result: ExplorationResult, study: Path) -> None:
        """Saves what was found beside the guess, once, for the teacher's table."""
        noted = self.page.desk.kept.setdefault("noted", [])
        if not self.page.owner or study.name in noted or not result.arms:
            return
        noted.append(study.name)
        self.page.keep()
        sentences = " ".join(arm.sentence for arm in result.arms)
        keep_guess(self.page.root / GUESSES, self.question, guess_text(self._asked(study)), sentences)

    def _asked(self, study: Path) -> str:
        """The guess with which a study was started, whatever is guessed for the next one."""
        return str(self.page.desk.kept.get("asked", {}).get(study.name, self.guess))

    def _running(self, job: Job, status: Any) -> None:
        done, trials = (status.done, status.trials) if status else (0, 0)
        paragraph(f"You expect: {guess_text(self.guess)}")
        if job.state == "waiting":
            paragraph("Waiting for its turn.", "waiting")
        else:
            paragraph(f"{done} of {trials} runs are done." if trials else "Reading the images ...", "waiting")
        share = done / trials if trials else 0.0
        with tag(
            "div",
            "",
            "bar",
            role="progressbar",
            aria_label=title(self.question),
            aria_valuenow=round(100 * share),
        ):
            tag("div", style=f"--share: {share:.3f}")
        stop = self.page.guarded(lambda *_: self.page.lab.jobs.end(self.page.owner, job.id, "stopped"))
        with tag("div", "", "buttons"):
            button("Stop", stop, f"stop-{self.question}", disabled=bool(job.wish))

    def _answer(self, result: ExplorationResult, study: Path) -> None:
        with tag("div", "", "answer"):
            paragraph(judged(self._asked(study), result.arms), "judged")
            for arm in result.arms:
                drawn = interval(arm.accuracy, detected=arm.detected, most=reach(result.arms))
                tag("div", innerHTML=drawn)
                paragraph(arm.sentence)
            for untried in result.untried:
                paragraph(f"{untried.label}: no finding. {untried.reason}", "note")
            for sentence in result.about:
                paragraph(sentence, "note")
            href = f"/lab/{self.page.desk.id}/file/{EXPLORATIONS}/{study.name}/report.html"
            link("The report of this experiment, with its curves", href, target="_blank")


def reach(arms: Sequence[KeptFinding]) -> float:
    """How far the scale of a card extends to both sides: every mean is on it, and if possible every interval."""
    ends = [
        abs(end or 0.0) for arm in arms for end in (arm.accuracy.low, arm.accuracy.mean, arm.accuracy.high)
    ]
    return next((most for most in (0.02, 0.05, 0.1, 0.2, 0.5) if max(ends, default=0.0) <= most), 1.0)


def interval(difference: KeptDifference, *, detected: bool, most: float) -> str:
    """A difference in accuracy with its interval on a scale of ``most`` to both sides of none, in points."""

    def at(value: float) -> float:
        return 160 + 130 * max(-1.0, min(1.0, value / most))

    color = "var(--training)" if detected else "var(--validation)"
    low, mean, high = difference.low, difference.mean, difference.high
    line = (
        f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="12" y2="12" stroke="{color}" stroke-width="2"/>'
        if low is not None and high is not None
        else ""
    )
    scale = "".join(
        f'<text x="{at(share * most):.0f}" y="36" font-size="11" text-anchor="middle" fill="var(--soft)">'
        f"{100 * share * most:+g}{' points' if share == 1 else ''}</text>"
        for share in (-1, -0.5, 0, 0.5, 1)
    ).replace("+0<", "0<")
    return (
        '<svg width="320" height="40" viewBox="0 0 320 40" aria-hidden="true">'
        '<line x1="160" x2="160" y1="2" y2="22" stroke="var(--soft)" stroke-dasharray="2 3"/>'
        f'<line x1="30" x2="290" y1="12" y2="12" stroke="var(--line)"/>{line}'
        f'<circle cx="{at(mean):.1f}" cy="12" r="4.5" fill="{color}"/>{scale}</svg>'
    )
