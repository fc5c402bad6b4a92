"""Exercises on the page: written there, checked in a process of their own, by whoever has started the lab alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conviction.exercises.catalogue import exercise_named
from tests.conftest import run_cli
from tests.web.labs import Served, lab, to
from tests.web.pages import check_accessibility, opened, shoot

pytestmark = pytest.mark.browser
NUMBER, NORMALISE = exercise_named("normalise")
STUB = "raise NotImplementedError"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with lab(tmp_path_factory.mktemp("lab")) as one:
        yield one


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Served]:
    with lab(tmp_path) as one:
        yield one


def enter(page: Any, served: Served) -> None:
    """By the link that was printed."""
    page.goto(served.link)
    page.goto(served.bench)


def write(page: Any, line: str) -> None:
    """In place of the last line that has one."""
    editor = page.locator(".editor .cm-content")
    editor.locator(".cm-line").filter(has_text=re.compile(rf"{STUB}|return pixels")).last.click()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Home")
    page.keyboard.insert_text(line)
    editor.get_by_text(line).wait_for()


def check(page: Any, sentence: str) -> None:
    """Presses the button, and waits for what the check says."""
    page.get_by_role("button", name="Check").click()
    page.locator(".judgement").get_by_text(sentence).wait_for()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), pytest.param(390, "dark", marks=pytest.mark.full)]
)
def test_a_learner_writes_errs_is_told_why_and_gets_it_right(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    place = tmp_path
    with lab(place) as served, opened(browser, served.bench, width, scheme) as page:
        enter(page, served)
        to(page, "exercises")
        check_accessibility(page)
        shoot(page, f"exercises-{width}-{scheme}")
        page.get_by_role("link", name=NORMALISE.title).click()
        page.locator(".editor .cm-content[aria-label]").wait_for()
        # The chapter that it belongs to is beside it.
        assert "chapter=data" in page.url
        check(page, "is not written yet")
        write(page, "return pixels / 256")
        check(page, "You divide by 256")
        page.get_by_text("The smallest input that shows it:").wait_for()
        page.get_by_role("button", name="Hint").click()
        page.get_by_text(NORMALISE.hints[0]).wait_for()
        check_accessibility(page)
        shoot(page, f"exercise-{width}-{scheme}")
        write(page, "return pixels / 255")
        check(page, "Right.")
        # The same file and the same progress as those of the terminal.
        again = run_cli("exercise", "check", str(NUMBER), "--json", cwd=place, home=place / "home")
        assert again.json["passed"]
        listed = run_cli("exercise", "--json", cwd=place, home=place / "home").json["exercises"]
        state = next(one for one in listed if one["name"] == "normalise")
        assert (state["hints"], state["passed"] is not None, state["solution_shown"]) == (1, True, False)
        page.get_by_role("link", name="Next: ").click()
        page.get_by_role("heading", name=f"{NUMBER + 1}. ").wait_for()
        to(page, "exercises")
        page.locator("li.right").get_by_role("link", name=NORMALISE.title).wait_for()


def test_what_is_written_is_kept_without_a_check_and_not_over_what_others_wrote(
    browser: Any, fresh: Served
) -> None:
    file = fresh.out.parent / "exercises" / f"{NUMBER:02}_normalise.py"
    with opened(browser, fresh.bench, 1280) as page:
        enter(page, fresh)
        to(page, "exercises", "normalise")
        page.locator(".editor .cm-content").wait_for()
        assert not file.exists()  # nothing is written before the learner writes
        write(page, "return pixels / 3")
        wait_for(lambda: file.exists() and "pixels / 3" in file.read_text())
        # Another program changes it.
        file.write_text(file.read_text().replace("/ 3", "/ 4"))
        write(page, "return pixels / 5")
        page.get_by_text("has been changed by another program").wait_for()
        assert "pixels / 4" in file.read_text()
        page.reload()
        page.locator(".editor .cm-content").get_by_text("pixels / 4").wait_for()
        page.get_by_role("button", name="Begin again").click()
        page.locator(".editor .cm-content").get_by_text(STUB).wait_for()
        page.get_by_role("button", name="Bring my code back").click()
        page.locator(".editor .cm-content").get_by_text("pixels / 4").wait_for()
        # Whoever has not tried sees no solution.
        page.get_by_role("button", name="Solution").click()
        page.get_by_text("try it yourself first").wait_for()
        check(page, "Not yet.")
        page.get_by_role("button", name="Solution").click()
        page.get_by_role("region", name="A solution").wait_for()


def wait_for(condition: Any) -> None:
    """The page saves on its own; nothing announces it outside."""
    from tests.patience import PATIENCE

    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_only_whoever_has_started_the_lab_may_run_code(browser: Any, served: Served) -> None:
    for link in (served.address, f"{served.address}/?token=not-the-one-that-was-printed"):
        with opened(browser, link, 1280) as page:
            page.goto(served.bench)
            to(page, "exercises", "normalise")
            page.get_by_text("only whoever started the lab may").wait_for()
            page.get_by_role("region", name="What is to be written").wait_for()
            assert not page.locator(".editor").count()
            assert not page.get_by_role("button", name="Check").count()
            check_accessibility(page)
    assert not (served.out.parent / "exercises").exists()


def test_the_link_is_for_one_start_of_the_lab(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path) as first:
        old = first.link.partition("?")[2]
    with lab(tmp_path) as second, opened(browser, f"{second.address}/?{old}", 1280) as page:
        page.goto(second.bench)
        to(page, "exercises", "normalise")
        page.get_by_text("only whoever started the lab may").wait_for()


def test_there_is_no_exercise_of_any_name(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1280) as page:
        address = page.url.rpartition("/")[0]
        response = page.request.get(f"{address}/exercises/normalize")
        assert response.status == 404
        assert "normalise" in response.text()
    assert json.loads(run_cli("exercise", "--json", cwd=served.out, home=served.out.parent / "home").out)
