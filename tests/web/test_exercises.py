"""Exercises on the page: written there, checked in a process of their own, only by the person who started the lab."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from conviction.exercises.catalogue import exercise_named
from tests.conftest import run_cli
from tests.patience import PATIENCE
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
    """By the link that was printed, in a tab that may show the same page already."""
    page.goto(served.link)
    page.wait_for_function("!location.hash")
    page.goto(served.bench)


def write(page: Any, line: str) -> None:
    """In place of the line that answers."""
    editor = page.locator(".editor .cm-content")
    editor.locator(".cm-line").filter(has_text=re.compile(rf"{STUB}|return pixels")).last.click()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Home")
    page.keyboard.insert_text(line)
    editor.get_by_text(line).wait_for()


def saved(page: Any) -> None:
    page.get_by_text(re.compile("^Saved in ")).wait_for()


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
    with lab(tmp_path) as served, opened(browser, served.bench, width, scheme) as page:
        enter(page, served)
        to(page, "exercises")
        check_accessibility(page)
        shoot(page, f"exercises-{width}-{scheme}")
        page.get_by_role("link", name=NORMALISE.title).click()
        page.get_by_role("textbox", name=f"Your code for {NORMALISE.title}").wait_for()
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
        page.get_by_role("button", name="Check").click()
        page.locator(".judgement .message:not(.trouble)").wait_for()
        # The same progress and the same file as those of the terminal.
        listed = run_cli("exercise", "--json", cwd=tmp_path, home=tmp_path / "home").json["exercises"]
        state = next(one for one in listed if one["name"] == "normalise")
        assert (state["hints"], state["tries"], state["passed"] is not None) == (1, 2, True)
        again = run_cli("exercise", "check", str(NUMBER), "--json", cwd=tmp_path, home=tmp_path / "home")
        assert again.json["passed"]
        page.get_by_role("link", name="Next: ").click()
        page.get_by_role("heading", name=f"{NUMBER + 1}. ").wait_for()
        to(page, "exercises")
        page.locator("li.right").get_by_role("link", name=NORMALISE.title).wait_for()


def test_what_is_written_is_saved_without_a_check(browser: Any, fresh: Served) -> None:
    file = fresh.out.parent / "exercises" / f"{NUMBER:02}_normalise.py"
    with opened(browser, fresh.bench, 1280, refused="422") as page:
        enter(page, fresh)
        to(page, "exercises", "normalise")
        page.locator(".editor .cm-content").wait_for()
        page.get_by_text("Your code will be saved in ").wait_for()
        assert not file.exists()  # nothing is written before the learner writes
        write(page, "return pixels / 3")
        saved(page)
        page.get_by_text(str(file)).wait_for()
        assert "pixels / 3" in file.read_text()
        page.get_by_role("button", name="Start over").click()
        page.locator(".editor .cm-content").get_by_text(STUB).wait_for()
        page.get_by_role("button", name="Restore my code").click()
        page.locator(".editor .cm-content").get_by_text("pixels / 3").wait_for()
        # Whoever has not tried sees no solution.
        page.get_by_role("button", name="Solution").click()
        page.get_by_text("Try it yourself first: replace the line").wait_for()
        page.locator(".editor .cm-content").focus()
        page.keyboard.press("Control+Enter")
        page.locator(".judgement").get_by_text("Not yet.").wait_for()
        page.get_by_role("button", name="Solution").click()
        page.get_by_role("region", name="A solution").wait_for()


def test_what_is_typed_at_the_last_moment_is_not_lost(browser: Any, fresh: Served) -> None:
    """Not when the page is loaded again or left, nor when the lab does not answer."""
    file = fresh.out.parent / "exercises" / f"{NUMBER:02}_normalise.py"
    with opened(browser, fresh.bench, 1280, refused="ERR_CONNECTION_REFUSED") as page:
        enter(page, fresh)
        to(page, "exercises", "normalise")
        exercise = page.url
        page.locator(".editor .cm-content").wait_for()
        for line in ("return pixels / 3", "return pixels / 4"):
            write(page, line)
            page.reload()
            page.locator(".editor .cm-content").get_by_text(line).wait_for()
        saved(page)
        # Sent while the page is left, and seen by a tab that knows nothing else.
        write(page, "return pixels / 5")
        page.goto(fresh.bench)
        page.evaluate(
            "sessionStorage.removeItem(Object.keys(sessionStorage).find((k) => k.includes('draft')) ?? '')"
        )
        until(lambda: "pixels / 5" in file.read_text())
        page.goto(exercise)
        page.locator(".editor .cm-content").get_by_text("pixels / 5").wait_for()
        page.route("**/lab-exercises/**", lambda route: route.abort("connectionrefused"))
        write(page, "return pixels / 6")
        page.get_by_text("Not saved: The lab does not answer.").wait_for()
        page.unroute_all()
        saved(page)
        assert "pixels / 6" in file.read_text()


def test_start_over_loses_nothing(browser: Any, fresh: Served) -> None:
    with opened(browser, fresh.bench, 1280) as page:
        enter(page, fresh)
        to(page, "exercises", "normalise")
        page.locator(".editor .cm-content").wait_for()
        write(page, "return pixels / 3")
        page.get_by_role("button", name="Start over").dblclick()
        page.locator(".editor .cm-content").get_by_text(STUB).wait_for()
        page.get_by_role("button", name="Hint").click()
        page.get_by_text(NORMALISE.hints[0]).wait_for()
        page.get_by_role("button", name="Restore my code").click()
        page.locator(".editor .cm-content").get_by_text("pixels / 3").wait_for()
        assert page.evaluate("document.activeElement.classList.contains('cm-content')")
        saved(page)


def test_another_start_of_the_lab_asks_for_its_key_and_keeps_what_was_typed(
    browser: Any, tmp_path: Path
) -> None:
    with lab(tmp_path) as first, opened(browser, first.bench, 1280, refused="403") as page:
        enter(page, first)
        to(page, "exercises", "normalise")
        page.locator(".editor .cm-content").wait_for()
        page.route(
            "**/lab-exercises/**",
            lambda route: (
                route.fulfill(status=403, json={"message": "Not this key."})
                if route.request.headers["x-lab-key"] != "the-key-of-the-other-start"
                else route.continue_(
                    headers={**route.request.headers, "x-lab-key": first.link.partition("#key=")[2]}
                )
            ),
        )
        write(page, "return pixels / 3")
        page.get_by_text("Not this key.", exact=True).wait_for()
        page.get_by_text("Not saved yet.").wait_for()
        page.locator(".editor .cm-content").get_by_text("pixels / 3").wait_for()
        field = page.get_by_label("Link from the terminal")
        field.fill("no key in it")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("There is no key in that").wait_for()
        field.fill(f"{first.address}/#key=the-key-of-the-other-start")
        page.get_by_role("button", name="Continue").click()
        saved(page)
        field.wait_for(state="detached")
        page.locator(".editor .cm-content").get_by_text("pixels / 3").wait_for()


def test_a_lab_ends_in_the_middle_of_a_check(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path) as served, opened(browser, served.bench, 1280, refused="ERR_|500") as page:
        enter(page, served)
        to(page, "exercises", "normalise")
        page.locator(".editor .cm-content").wait_for()
        write(page, "while True: pass")
        page.get_by_role("button", name="Check").click()
        page.get_by_text("Your code is running.").wait_for()
        assert served.stop() == 0
        page.locator(".judgement .trouble").wait_for()


def test_two_who_write_one_file_do_not_undo_each_other(browser: Any, fresh: Served) -> None:
    file = fresh.out.parent / "exercises" / f"{NUMBER:02}_normalise.py"
    with opened(browser, fresh.bench, 1280, refused="409") as page:
        enter(page, fresh)
        to(page, "exercises", "normalise")
        page.locator(".editor .cm-content").wait_for()
        write(page, "return pixels / 3")
        saved(page)
        # Another program changes it: where nothing was typed since, the page follows.
        file.write_text(file.read_text().replace("/ 3", "/ 4"))
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        page.locator(".editor .cm-content").get_by_text("pixels / 4").wait_for()
        for outside, button, kept in ((5, "Use the version in the file", 5), (6, "Keep my version", 7)):
            other = re.sub(r"pixels / \d", f"pixels / {outside}", file.read_text())
            file.write_text(other)
            write(page, "return pixels / 7")
            page.get_by_text("This file was changed outside this page").wait_for()
            assert file.read_text() == other
            page.get_by_role("button", name=button).click()
            page.locator(".editor .cm-content").get_by_text(f"pixels / {kept}").wait_for()
            saved(page)
            assert f"pixels / {kept}" in file.read_text()
        page.get_by_role("button", name="Restore my code").wait_for()
        # A file that was deleted is not made again unasked, nor is what was in it gone.
        file.unlink()
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        page.get_by_text("This file was deleted outside this page").wait_for()
        page.locator(".editor .cm-content").get_by_text("pixels / 7").wait_for()
        page.get_by_role("button", name="Keep my version").click()
        saved(page)
        assert "pixels / 7" in file.read_text()


def test_only_whoever_has_started_the_lab_may_run_code(browser: Any, served: Served) -> None:
    wrong = "#key=not-the-one-that-was-printed"
    for link in (served.address, f"{served.address}/{wrong}"):
        with opened(browser, link, 1280, refused="403") as page:
            assert "key=" not in page.url
            page.goto(served.bench)
            to(page, "exercises", "normalise")
            page.get_by_text("only the person who started the lab may run it").wait_for()
            page.get_by_role("region", name="Starter code").wait_for()
            if wrong in link:
                page.get_by_text("This link is not from the lab that is running now").wait_for()
            check_accessibility(page)
            assert not page.locator(".editor").count()
            page.get_by_label("Link from the terminal").fill(
                f"conviction lab is at {served.link} (Ctrl-C ends it)"
            )
            page.get_by_role("button", name="Continue").click()
            page.locator(".editor .cm-content").wait_for()


def test_without_the_key_the_server_gives_and_takes_nothing(served: Served, tmp_path: Path) -> None:
    key = served.link.partition("#key=")[2]
    assert len(key) > 20
    address = f"{served.address}/lab-exercises/normalise"
    body = json.dumps({"text": "print(1)", "version": ""}).encode()
    for method, path in (
        ("GET", ""),
        ("PUT", ""),
        ("POST", "/check"),
        ("POST", "/hint"),
        ("POST", "/solution"),
    ):
        for headers in ({}, {"X-Lab-Key": key[:-1]}, {"Cookie": f"key={key}"}, {"X-Lab-Key": ""}):
            status, answer = asked(method, address + path, body, headers)
            assert status == 403, (method, path, headers)
            assert set(answer) == {"message"}
    assert not (served.out.parent / "exercises" / f"{NUMBER:02}_normalise.py").exists()
    # With it, but from another page.
    right = {"X-Lab-Key": key}
    assert asked("PUT", address, body, {**right, "Origin": "http://127.0.0.1:1"})[0] == 403
    assert asked("GET", address, None, right)[1]["version"] == ""
    for wrong in (b"{", b"[]", b'{"text": 1, "version": ""}', b'{"text": "x"}', b"[" * 100_000):
        assert asked("PUT", address, wrong, right)[0] == 422
    large = json.dumps({"text": "#" * 200_001, "version": ""}).encode()
    for path in ("", "/check"):
        status, answer = asked("POST" if path else "PUT", address + path, large, right)
        assert (status, "more than 200,000 bytes" in answer["message"]) == (422, True)
    # A lone surrogate, in the code and in what the check says of it.
    strange = json.dumps({"text": "raise ValueError('\ud800')", "version": ""}).encode()
    assert asked("POST", f"{address}/check", strange, right)[0] == 200
    assert asked("PUT", address, b"#" * 1_210_001, right)[0] == 422
    assert not (served.out.parent / "exercises" / f"{NUMBER:02}_normalise.py").exists()


def until(condition: Callable[[], bool]) -> None:
    """What a page sends while it is left, it announces to nobody."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def asked(method: str, address: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
    request = urllib.request.Request(address, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as failure:
        with failure:
            content = failure.read()
        return failure.code, json.loads(content) if content.startswith(b"{") else content.decode()


def test_the_key_is_for_one_start_of_the_lab(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path) as first:
        old = first.link.partition("#key=")[2]
    with lab(tmp_path) as second:
        address = f"{second.address}/lab-exercises/normalise"
        assert asked("GET", address, None, {"X-Lab-Key": old})[0] == 403


def test_where_others_reach_the_lab_no_code_runs(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path, "--host", "0.0.0.0") as served:
        assert "#key=" not in served.link
        host = urlsplit(served.link)
        with opened(browser, f"http://127.0.0.1:{host.port}/lab?{host.query}", 1280) as page:
            to(page, "exercises", "normalise")
            page.get_by_text("This lab does not run code, because other machines can reach it").wait_for()
            assert not page.locator(".exercise").count()
            assert (
                page.request.get(f"http://{urlsplit(page.url).netloc}/lab-exercises/normalise").status == 403
            )


def test_there_is_no_exercise_of_any_name(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1280) as page:
        address = page.url.rpartition("/")[0]
        response = page.request.get(f"{address}/exercises/normalize")
        assert response.status == 404
        assert "normalise" in response.text()


def test_progress_that_cannot_be_read_is_told_and_stops_nobody(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "learning.json").write_text("{")
    with lab(tmp_path) as served, opened(browser, served.bench, 1280) as page:
        enter(page, served)
        to(page, "exercises")
        page.locator(".messages").get_by_text("learning.json").wait_for()
        page.get_by_role("link", name=NORMALISE.title).click()
        page.locator(".editor .cm-content").wait_for()
        write(page, "return pixels / 256")
        check(page, "You divide by 256")
        page.locator(".judgement").get_by_text("learning.json").wait_for()
