"""One question about the network: a guess first, then the experiment, then what was found beside the guess."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conviction.data.findings import plural
from conviction.experiments.exploration_page import title
from conviction.experiments.questions import SHEETS, arms_of, questions_about
from conviction.experiments.store import ExplorationResult, KeptDifference, KeptFinding
from conviction.lesson.shelf import sheets
from conviction.web.classroom import keep_guess
from conviction.web.elements.growing import growing_curves
from conviction.web.elements.plain import button, choice, heading, link, paragraph, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.progress import StudyStatus
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import EXPLORATIONS, next_name, start_explore, stem_of
from conviction.web.pages.page import PageContext
from conviction.web.work.guess import NO_DIFFERENCE, NO_GUESS, guess_text, judged

# As ``classroom.Learner`` calls it.
GUESSES = "guesses.jsonl"
EPOCHS, SEEDS = 3, 3
# For questions that no sheet of the lesson covers.
SHORT = {
    "recipe": "A recipe is a whole specification under a name: lab is the classic network, fast takes a few epochs "
    "with a rate that rises and falls, best is deeper and wider and takes longer. They differ in more than one thing.",
    "backbone": "A frozen backbone makes the same of a picture in every epoch. Its last blocks, or all of it, can "
    "also learn from your pictures: at a small rate, in 8 epochs that take minutes. The last arm has no backbone: "
    "on pictures unlike photographs, a network that learns from them alone may be better.",
}


def base_of(page: PageContext) -> dict[str, Any]:
    """The keys of what the experiments start from."""
    draft = page.desk.draft
    own = draft is not None and page.desk.kept.get("base", "own") == "own"
    return draft.base() if own and draft is not None else {"recipe": "lab"}


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


def state_of_question(page: PageContext, question: str) -> str:
    """ "running" (or waiting), "answered", or nothing."""
    study = study_of(page, question)
    if study is None:
        return ""
    job = page.lab.jobs.last_at(study)
    if job is not None and job.alive:
        return "started"
    return "answered" if page.lab.watcher.study(study).result else ""


def seeds_of(page: PageContext) -> int:
    """How many seeds an experiment has."""
    return int(page.desk.kept.get("seeds", SEEDS))


def epochs_of(page: PageContext) -> int:
    """How many epochs each of its trainings has."""
    return page.lab.most_epochs(int(page.desk.kept.get("explore_epochs", EPOCHS)))


class QuestionCard:
    """What to expect, the guess, the experiment as it goes on, the answer.

    Args:
        page: The context of the page.
        question: Its name.
    """

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
        state = (job, far, self.guess, self.labels, self._expected())
        if state == self.seen:
            return
        self.seen = state
        with self.surface.drawing(), tag("section", "", "question", id=f"question-{self.question}"):
            self._draw(job, study, status)

    def _draw(self, job: Job | None, study: Path | None, status: StudyStatus | None) -> None:
        heading(title(self.question))
        self._introduce()
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

    def _introduce(self) -> None:
        """What is asked; what to expect of it stands below the answer, so that it gives nothing away."""
        labels = self.labels
        words = f"{', '.join(labels[:-1])} or {labels[-1]}" if len(labels) > 1 else labels[0]
        paragraph(f"{'Variants' if len(labels) > 1 else 'Variant'} of the base: {words}.", "note")

    @property
    def labels(self) -> list[str]:
        """Of the arms."""
        layers = "model.layers" in base_of(self.page)
        return [arm.label for arm in arms_of(self.question, layers=layers)]

    @property
    def guess(self) -> str:
        """What was expected, or nothing."""
        return self.page.desk.guesses.get(self.question, NO_GUESS)

    def guess_words(self, value: str) -> str:
        """A guess as it stands in a sentence and in the teacher's table."""
        return guess_text(value)

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
            following = _next(self.page, self.question) if again else ""
            if following:
                to = self.page.to("explore", question=following)
                link(f"Next question: {title(following)}", to, "button primary")
        paragraph(self._expected(), "note")

    def _expected(self) -> str:
        """How many networks will be trained, and about how long that takes, if something on these images has."""
        page, seeds = self.page, seeds_of(self.page)
        trainings, epochs = seeds * (1 + len(self.labels)), epochs_of(page)
        others = plural(len(self.labels), "variant")
        words = f"The lab will train {trainings} networks for {plural(epochs, 'epoch')} each: the base and {others}, "
        words += f"each with {plural(seeds, 'seed')}."
        # With fewer images an epoch is shorter.
        seconds = 0.0 if page.desk.kept.get("budget") else seconds_an_epoch(page)
        return f"{words} This takes about {spoken(seconds * trainings * epochs)}." if seconds else words

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
            keep_guess(page.root / GUESSES, self.question, self.guess_words(self.guess))
        name = next_name(root, _stem(page, self.question), page.lab.jobs)
        kept.setdefault("asked", {})[name] = self.guess
        page.keep()
        self._submit(root / name)
        page.lab.jobs.tick()
        self.look()

    def _submit(self, study: Path) -> Job:
        """Queues the experiment."""
        page, kept = self.page, self.page.desk.kept
        return start_explore(
            page.lab.jobs,
            page.owner,
            page.desk.source,
            self.question,
            study,
            seeds=seeds_of(page),
            epochs=epochs_of(page),
            budget=int(kept["budget"]) if kept.get("budget") else None,
            base=base_of(page),
        )

    def _note(self, result: ExplorationResult, study: Path) -> None:
        """Saves what was found beside the guess, once, for the teacher's table."""
        noted = self.page.desk.kept.setdefault("noted", [])
        if not self.page.owner or study.name in noted or not result.arms:
            return
        noted.append(study.name)
        self.page.keep()
        sentences = " ".join(arm.sentence for arm in result.arms)
        keep_guess(self.page.root / GUESSES, self.question, self.guess_words(self._asked(study)), sentences)

    def _asked(self, study: Path) -> str:
        """The guess with which a study was started, whatever is guessed for the next one."""
        return str(self.page.desk.kept.get("asked", {}).get(study.name, NO_GUESS))

    def _running(self, job: Job, status: StudyStatus | None) -> None:
        done, trials = (status.done, status.trials) if status else (0, 0)
        paragraph(f"You expect: {self.guess_words(self.guess)}")
        if job.state == "waiting":
            paragraph("Waiting for its turn.", "waiting")
        else:
            words = f"{done} of {trials} trainings are done" if trials else "Reading the images ..."
            if done and job.started:
                words += f", about {spoken((time.time() - job.started) / done * (trials - done))} to go"
            paragraph(f"{words}." if trials else words, "waiting")
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
        if status is not None:
            growing_curves(status.curves)
        stop = self.page.guarded(lambda *_: self.page.lab.jobs.end(self.page.owner, job.id, "stopped"))
        with tag("div", "", "buttons"):
            button("Stop", stop, f"stop-{self.question}", disabled=bool(job.wish))

    def _answer(self, result: ExplorationResult, study: Path) -> None:
        with tag("div", "", "answer"):
            paragraph(judged(self._asked(study), result.arms), "judged")
            growing_curves(self.page.lab.watcher.study(study).curves)
            for arm in result.arms:
                drawn = interval(arm.accuracy, detected=arm.detected, most=reach(result.arms))
                tag("div", innerHTML=drawn)
                paragraph(arm.sentence)
            for untried in result.untried:
                paragraph(f"{untried.label}: no finding. {untried.reason}", "note")
            _explain(self.page, self.question)
            limits_and_report(self.page, result, study)


def limits_and_report(page: PageContext, result: ExplorationResult, study: Path) -> None:
    """What ends an answer."""
    with tag("details"):
        tag("summary", "What limits this")
        for sentence in result.about:
            paragraph(sentence, "note")
    href = f"/lab/{page.desk.id}/file/{EXPLORATIONS}/{study.name}/report.html"
    link("The report of this experiment, with its curves", href, target="_blank")


def _next(page: PageContext, question: str) -> str:
    """The first question after this one that nobody has asked yet; empty if there is none."""
    possible = questions_about(base_of(page))
    after = possible[possible.index(question) + 1 :] if question in possible else []
    return next((one for one in after if not state_of_question(page, one)), "")


def _explain(page: PageContext, question: str) -> None:
    """What lessons say of a question, and where to read what was measured on other images."""
    sheet = next((s for s in sheets() if s.name == SHEETS.get(question)), None)
    paragraph(" ".join(sheet.short.split()) if sheet else SHORT[question])
    if sheet is not None:
        about = page.to("explore", question=question, lesson="claims", about=sheet.name)
        with tag("p"):
            link(f"Claims about it, and what was measured on other images: {sheet.title}", about)


def seconds_an_epoch(page: PageContext) -> float:
    """About how long an epoch of one training of an experiment takes on these images, with all around it; 0 if unknown.

    From the last experiment on them that was done, or else from the last training.
    """
    for kind in ("explore", "fit"):
        for job in page.lab.jobs.of(page.owner):
            if job.kind != kind or job.state != "done" or job.argv[1] != page.desk.source:
                continue
            if not job.started or not job.ended:
                continue
            if kind == "fit":
                run = page.lab.watcher.run(Path(job.folder))
                # What was continued, and folds, took longer than this job, or are in it besides the epochs.
                last = page.lab.jobs.last_at(run.path)
                only = run.plan is None and (last is None or last.kind != "resume")
                epochs = len(run.rows) if only else 0
            else:
                curves = page.lab.watcher.study(Path(job.folder)).curves
                epochs = sum(len(one) for all_seeds in curves.values() for one in all_seeds)
            if epochs:
                return (job.ended - job.started) / epochs
    return 0.0


def spoken(seconds: float) -> str:
    """A time as people say it.

    >>> spoken(0.2), spoken(75), spoken(600), spoken(9000)
    ('1 s', '75 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
