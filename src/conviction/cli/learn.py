"""``conviction learn``: chapters to read, cards, quizzes, a run explained step by step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from conviction.cli.options import DataDir, Json, print_json
from conviction.errors import RequestError

if TYPE_CHECKING:
    from conviction.lesson import Depth, Facts


def learn(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC",
            help="A chapter (its number or its name), a hyperparameter, overview, conversations, concepts, memory, "
            "glossary, references; or claims, cards, quiz, walkthrough. Without one: what there is, and how far you "
            "have got.",
        ),
    ] = None,
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MORE",
            help="A word for glossary, a chapter for cards and quiz, a chapter, a hyperparameter or a claim for "
            "claims, SOURCE [KEY=VALUE ...] for walkthrough.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="RUN", help="Take the numbers from this run instead of a recorded one."
        ),
    ] = None,
    depth: Annotated[str, typer.Option("--depth", help="quick, standard or deep.")] = "standard",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read the lesson, with the numbers of your own run; practise with cards and quizzes."""
    more = rest or []
    chosen = _depth(depth)
    if topic == "walkthrough":
        if as_json or run is not None:
            raise RequestError(
                "learn walkthrough: it makes its own run and explains it to people; leave out --run and --json."
            )
        from conviction.cli.walkthrough import walk_through

        walk_through(more, data_dir)
        return
    if len(more) > 1:
        raise RequestError(f"learn {topic}: expected at most one word after it; got: {' '.join(more)}.")
    if topic == "claims":
        from conviction.cli.claims import ask_claims

        ask_claims(more[0] if more else None, as_json=as_json)
        return
    facts = _facts(run)
    if topic is None:
        _menu(facts, as_json=as_json)
    elif topic in ("cards", "quiz"):
        from conviction.cli import practice

        chapter = practice.chapter_named(more[0]) if more else None
        (practice.cards if topic == "cards" else practice.quiz)(facts, chapter, as_json=as_json)
    else:
        _read(topic, more[0] if more else None, chosen, facts, as_json=as_json)


def _depth(name: str) -> Depth:
    from conviction.lesson import Depth

    for depth in get_args(Depth):
        if name == depth:
            return depth
    raise RequestError(f"--depth: expected quick, standard or deep; got '{name}'.")


def _facts(run: Path | None) -> Facts:
    from conviction.lesson import facts_of, recorded_facts

    if run is None:
        return recorded_facts()
    from conviction.runs import open_run

    return facts_of(open_run(run))


def _read(topic: str, part: str | None, depth: Depth, facts: Facts, *, as_json: bool) -> None:
    from conviction.lesson import chapters, read_topic
    from conviction.lesson.progress import now, update_progress
    from conviction.lesson.topics import topic_named

    topic = topic_named(topic)
    text = read_topic(topic, facts, depth, part)
    if as_json:
        print_json({"topic": topic, "depth": depth, "numbers_from": facts.title, "markdown": text})
        return
    from conviction.cli.claims import guess_first
    from conviction.cli.markdown import print_markdown

    guess_first(topic)
    print_markdown(text)
    names = [chapter.name for chapter in chapters()]
    if topic in names:
        read_at = now().isoformat(timespec="seconds")
        update_progress(lambda progress: progress.read.update({topic: read_at}))
        following = names[names.index(topic) + 1 :]
        print(f"\nTest yourself: conviction learn quiz {topic}")
        if following:
            print(f"Then: conviction learn {following[0]}")


def _menu(facts: Facts, *, as_json: bool) -> None:
    from conviction.lesson import TOPICS, chapters, sheets
    from conviction.lesson.claims import claims
    from conviction.lesson.progress import load_progress, now
    from conviction.lesson.shelf import cards

    progress = load_progress()
    due = len(progress.due(cards(), now()))
    if as_json:
        rows = [
            {**asdict(c), "read": progress.read.get(c.name), "quiz": progress.quiz.get(c.name)}
            for c in chapters()
        ]
        print_json({"chapters": rows, "topics": list(TOPICS), "cards_due": due, "numbers_from": facts.title})
        return
    from conviction.cli.markdown import print_markdown

    lines = []
    for chapter in chapters():
        right_of = progress.quiz.get(chapter.name)
        quiz = f"{right_of[0]} of {right_of[1]}" if right_of else ""
        read = "yes" if chapter.name in progress.read else ""
        lines.append(f"| {chapter.number} | {chapter.name} | {chapter.aim} | {read} | {quiz} |")
    print_markdown(
        "# Learning CNNs with this lab\n\n| | chapter | what it is for | read | quiz |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\nThe numbers are from {facts.title}. `--run RUN` takes them from a run of yours, `--depth quick` or "
        "`deep` changes how much detail you get.\n\n"
        "- `conviction learn overview`, or a chapter's name or number, to read\n"
        "- `conviction learn walkthrough digits` to see each step explained while it happens\n"
        f"- `conviction learn cards`: {due} due now\n"
        "- `conviction learn quiz`, or `quiz data` for one chapter\n"
        f"- `conviction learn claims`: guess what {len(claims())} changes do before you see what was measured; "
        f"{len(claims().keys() & progress.guesses.keys())} guessed\n"
        "- `conviction learn conversations`, `concepts`, `memory`, `glossary`, `references`\n"
        f"- what to expect of a hyperparameter: {', '.join(f'`{s.name}`' for s in sheets())}\n"
    )
