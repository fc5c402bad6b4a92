"""The lesson on a page, in a real Chromium: read, heard, answered, and remembered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conviction.lesson import recorded_facts
from conviction.lesson.claims import claims_about
from conviction.lesson.progress import card_key, load_progress, update_progress
from conviction.lesson.questions import questions
from conviction.lesson.shelf import cards
from tests.web.pages import check_accessibility, opened, served, shoot

pytestmark = pytest.mark.browser

BUILD = """
def build(query, keep):
    from conviction.audience import speak_to
    from conviction.web.tutor import facts_for
    from conviction.web.tutor.panel import chapter_panel
    speak_to("page")
    with ui.element("div").style("max-width: 27rem").props("id=panel"):
        chapter_panel(facts_for(None), chapter="data", progress=Path(arguments[0]), query=query, on_query=keep,
                      links=[("your samples", "/?x")], testing=lambda claim: f"/?claim={claim}")
"""

# Voices, and a synthesis that reads nothing but tells what it was asked for; each sentence ends when the test says so.
VOICES = """
window.asked = [];
const voices = NAMES.map((name) => ({name, lang: "en-GB", localService: true, voiceURI: name}));
class Utterance { constructor(text) { this.text = text; this.pitch = 1; } }
const synthesis = new EventTarget();
Object.assign(synthesis, {
  getVoices: () => voices,
  speak(words) {
    this.now = words;
    asked.push({text: words.text, voice: words.voice.name, pitch: words.pitch});
    words.onstart?.({});
  },
  cancel() { this.now = null; asked.push("cancel"); },
  pause() { asked.push("pause"); },
  resume() { asked.push("resume"); },
});
window.finish = () => synthesis.now.onend({});
Object.defineProperty(window, "speechSynthesis", {value: synthesis, configurable: true});
window.SpeechSynthesisUtterance = Utterance;
"""
MARKED = "[...(CSS.highlights.get('spoken') ?? [])].map(r => r.toString()).join('|')"


def voices(*names: str) -> str:
    return VOICES.replace("NAMES", json.dumps(names))


@pytest.fixture(scope="module")
def progress(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ada") / "learning.json"


@pytest.fixture(scope="module")
def address(progress: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("tutor"), BUILD, progress) as where:
        yield where


def said(page: Any) -> list[Any]:
    return [one for one in page.evaluate("asked") if isinstance(one, dict)]


@pytest.mark.parametrize(
    ("width", "scheme"), [(1000, "light"), pytest.param(400, "dark", marks=pytest.mark.full)]
)
def test_a_chapter_is_read_in_three_depths(browser: Any, address: str, width: int, scheme: str) -> None:
    with opened(browser, address, width, scheme) as page:
        text = page.locator("#lesson-text")
        text.get_by_role("heading", name="Data", exact=True).wait_for()
        assert f"{recorded_facts().train:,}" in text.inner_text()
        page.get_by_role("link", name="your samples").wait_for()
        shoot(page, f"tutor-{width}-{scheme}")
        check_accessibility(page)
        term = text.get_by_role("button", name="Keras").first
        term.focus()
        page.keyboard.press("Enter")
        note = page.locator("#read-glossary-keras")
        note.wait_for()
        assert "A Python library for neural networks" in note.inner_text()
        box, at = note.bounding_box(), term.bounding_box()
        assert abs(box["y"] - at["y"]) < 200
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        shoot(page, f"tutor-term-{width}-{scheme}", whole=False)
        page.keyboard.press("Escape")
        note.wait_for(state="hidden")
        for depth in ("Quick", "Deep"):
            page.get_by_role("button", name=depth).click()
            text.get_by_role(
                "heading", name="Data in " if depth == "Deep" else "Data in a minute"
            ).first.wait_for()
            page.wait_for_function(f"location.search.includes('depth={depth.lower()}')")
        page.reload()
        text.get_by_role("heading", name="Data in depth").wait_for()
        page.get_by_role("combobox", name="Chapter").select_option("training")
        text.get_by_role("heading", name="Training in depth").wait_for()
        check_accessibility(page)


def test_a_conversation_is_read_by_two_voices(browser: Any, address: str) -> None:
    with opened(browser, f"{address}/?lesson=talk", script=voices("Ada", "Bea", "Cy")) as page:
        page.get_by_role("button", name="Read aloud").click()
        page.wait_for_function("asked.some(a => a.text)")
        heading = said(page)[0]
        assert heading["text"] == "A conversation about data"
        assert page.evaluate(MARKED) == heading["text"]
        for _ in range(6):
            page.evaluate("finish()")
            assert page.evaluate(MARKED) == said(page)[-1]["text"]
        texts = said(page)[1:]
        assert texts[0] == {
            "text": "I have a folder full of pictures and a network waiting.",
            "voice": "Ada",
            "pitch": 1,
        }
        assert texts[1] == {"text": "Why can't I just pour them in?", "voice": "Ada", "pitch": 1}
        assert texts[2] == {"text": "Because the network has no eyes.", "voice": "Bea", "pitch": 1}
        shoot(page, "tutor-talk")
        check_accessibility(page)
        count = len(said(page))
        page.get_by_role("button", name="Pause").click()
        assert page.evaluate("asked.at(-1)") == "pause"
        page.get_by_role("button", name="Resume").click()
        assert page.evaluate("asked.at(-1)") == "resume"
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Read aloud").wait_for()
        assert page.evaluate("asked.at(-1)") == "cancel"
        assert page.evaluate(MARKED) == ""
        assert len(said(page)) == count
        # To the end, where the button comes back by itself.
        page.get_by_role("button", name="Read aloud").click()
        page.wait_for_function(f"asked.filter(a => a.text).length > {count}")
        page.evaluate("while (speechSynthesis.now) finish()")
        page.get_by_role("button", name="Read aloud").wait_for()
        last = page.locator("#lesson-text p[data-speaker]").last.inner_text()
        assert last.endswith(said(page)[-1]["text"])


def test_what_to_expect_of_a_hyperparameter_is_there_too(browser: Any, address: str) -> None:
    with opened(browser, f"{address}/?lesson=more") as page:
        page.locator("#lesson-text").get_by_role("heading", name="The lab").first.wait_for()
        page.get_by_role("combobox", name="Text").select_option("dropout")
        # Until the reader has guessed, the text that tells what was measured is folded.
        page.get_by_role("button", name="Guess first: 5 claims").wait_for()
        heading = page.locator("#lesson-text").get_by_role("heading", name="Dropout").first
        assert not heading.is_visible()
        page.get_by_text("Read it now").click()
        heading.wait_for()
        assert page.get_by_role("link", name="Test it on your pictures").first.get_attribute("href")
        page.wait_for_function("location.search.includes('topic=dropout')")
        shoot(page, "tutor-more")
        check_accessibility(page)
        page.get_by_role("combobox", name="Text").select_option("glossary")
        page.get_by_text("A Python library for neural networks").wait_for()


@pytest.mark.full
def test_one_voice_says_the_names_and_changes_its_pitch(browser: Any, address: str) -> None:
    with opened(browser, f"{address}/?lesson=talk", script=voices("Ada")) as page:
        page.get_by_role("button", name="Read aloud").click()
        page.wait_for_function("asked.some(a => a.text)")
        for _ in range(4):
            page.evaluate("finish()")
        texts = said(page)
        assert texts[1]["text"].startswith("Learner: I have a folder")
        teacher = next(one for one in texts if one["text"].startswith("Teacher: "))
        assert teacher["pitch"] > 1
        assert {one["voice"] for one in texts} == {"Ada"}


@pytest.mark.full
def test_code_is_not_read_and_reading_ends_with_the_text(browser: Any, address: str) -> None:
    with opened(browser, address, script=voices("Ada", "Bea")) as page:
        page.get_by_role("button", name="Read aloud").click()
        page.wait_for_function("asked.some(a => a.text)")
        page.evaluate("for (let i = 0; i < 30; i++) finish()")
        assert not [one for one in said(page) if "import numpy" in one["text"]]
        # What a term means is not read where the term stands.
        assert not [one for one in said(page) if "A Python library for neural networks" in one["text"]]
        page.get_by_role("button", name="Quick").click()
        page.locator("#lesson-text").get_by_role("heading", name="Data in a minute").wait_for()
        assert page.evaluate("asked.at(-1)") == "cancel"
        assert page.evaluate(MARKED) == ""


def test_without_a_voice_a_sentence_says_so(browser: Any, address: str) -> None:
    with opened(browser, address) as page:  # headless Chromium has none
        page.get_by_role("button", name="Read aloud").click()
        page.get_by_text("This browser has no voice").wait_for()
        page.get_by_role("button", name="Read aloud").wait_for()
    with opened(
        browser,
        address,
        script="delete window.speechSynthesis; Object.defineProperty(window, 'speechSynthesis', {value: undefined});",
    ) as page:
        page.get_by_role("button", name="Read aloud").click()
        page.get_by_text("This browser has no voice").wait_for()


def test_cards_come_back_as_they_were_known(browser: Any, address: str, progress: Path) -> None:
    first, second = [card for card in cards() if card.chapter == "training"][:2]
    with opened(browser, f"{address}/?chapter=training&lesson=cards") as page:
        page.get_by_role("heading", name=first.front).wait_for()
        page.get_by_role("button", name="Turn it over").focus()
        page.keyboard.press("Enter")
        page.get_by_text(first.back).wait_for()
        shoot(page, "tutor-card")
        check_accessibility(page)
        page.get_by_role("button", name="Easily").click()
        page.get_by_role("heading", name=second.front).wait_for()
        known = load_progress(progress).cards
        assert set(known) == {card_key(first)}
        page.get_by_role("button", name="Turn it over").click()
        page.get_by_role("button", name="Not known").click()
        page.get_by_text("Card 3 of").wait_for()
    after = load_progress(progress)
    due = [after.due_at(card) for card in (first, second)]
    assert due[0] is not None
    assert due[1] is not None
    assert due[0] > due[1]


@pytest.mark.full
def test_a_quiz_is_scored_and_explained(browser: Any, address: str, progress: Path) -> None:
    asked = questions("data", recorded_facts())
    with opened(browser, f"{address}/?lesson=quiz") as page:
        for number in range(1, len(asked) + 1):
            page.get_by_text(f"Question {number} of {len(asked)}").wait_for()
            prompt = page.get_by_role("heading", level=3).inner_text()
            if number == 1:
                shoot(page, "tutor-quiz")
                check_accessibility(page)
            options = page.locator(".option")
            # The first is right or wrong by chance; what is said must agree with the lesson's own questions.
            options.first.click()
            page.locator(".verdict-of-answer p").first.wait_for()
            verdict = page.locator(".verdict-of-answer").inner_text()
            assert verdict.startswith(("Right. ", "No: ")), prompt
            if number == 2:
                shoot(page, "tutor-answered")
            page.locator(".practice .button").click()
        heading = page.get_by_role("heading", name="right")
        heading.wait_for()
        right = int(heading.inner_text().split()[0])
    assert load_progress(progress).quiz["data"] == (right, len(asked))


def test_what_was_read_is_remembered(browser: Any, address: str, progress: Path) -> None:
    with opened(browser, f"{address}/?chapter=compiling&depth=quick") as page:
        page.get_by_role("button", name="I have read this").click()
        page.get_by_text("You have read this.").wait_for()
        assert "Compiling (read)" in page.get_by_role("combobox", name="Chapter").inner_text()
        page.get_by_role("button", name="Next: Gradients").click()
        page.get_by_role("button", name="I have read this").wait_for()
    assert set(load_progress(progress).read) == {"compiling"}


@pytest.mark.parametrize(
    ("width", "scheme"), [(1000, "light"), pytest.param(390, "dark", marks=pytest.mark.full)]
)
def test_a_claim_is_guessed_then_shown_beside_what_was_measured(
    browser: Any, address: str, progress: Path, width: int, scheme: str
) -> None:
    update_progress(lambda kept: kept.guesses.clear(), progress)
    query = "?chapter=hyperparameters&lesson=claims&about=conv_layers"
    with opened(browser, f"{address}/{query}", width=width, scheme=scheme) as page:
        asked = claims_about("conv_layers")
        for number, claim in enumerate(asked, 1):
            page.get_by_role("heading", name=claim.change).wait_for()
            assert page.locator(".intervals").count() == 0
            assert page.get_by_text("You will read elsewhere").count() == 0
            page.get_by_role("button", name="lower", exact=True).click()
            page.locator(".verdict-of-answer").wait_for()
            assert page.locator(".intervals tbody tr").count() == len(claim.records)
            assert claim.taught in page.locator(".practice").inner_text()
            link = page.get_by_role("link", name="Test it on these pictures")
            assert link.get_attribute("href") == f"/?claim={claim.name}"
            following = page.get_by_role(
                "button", name="Next claim" if number < len(asked) else "See all of them"
            )
            # A keyboard goes on where it was.
            page.wait_for_function("() => document.activeElement.dataset.key === 'practice-next'")
            if number == 1:
                shoot(page, f"tutor-claims-{width}")
                check_accessibility(page)
            following.click()
        right = sum(claim.effect.direction == "lower" for claim in asked)
        page.get_by_role("heading", name=f"{right} of {len(asked)} as you expected").wait_for()
        check_accessibility(page)
    assert load_progress(progress).guesses == {claim.name: "lower" for claim in asked}
