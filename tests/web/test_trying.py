"""A finished network answers drawings, pictures and the camera, as ``predict`` does."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

import conviction
from conviction.web.pages.trial import MOST_PICTURE, try_picture
from tests.conftest import run_cli
from tests.data.builders import png
from tests.patience import PATIENCE, new_context
from tests.web.labs import Served, lab, to
from tests.web.pages import opened, shoot


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(trained, place / "runs" / "digits-1")
    with lab(place) as one:
        yield one


def shares(page: Any) -> list[float]:
    found: list[float] = page.locator(".probabilities i").evaluate_all(
        "bars => bars.map((bar) => Number(bar.style.getPropertyValue('--share')))"
    )
    return found


def draw(page: Any) -> None:
    """A 7, by the mouse."""
    box = page.locator(".board").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    for x, y in ((0.7, 0.25), (0.45, 0.85)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
    page.mouse.up()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_drawing_is_answered_as_predict_answers(
    browser: Any, served: Served, trained: Path, width: int, scheme: str
) -> None:
    with opened(browser, served.bench, width, scheme) as page:
        to(page, "try")
        draw(page)
        page.locator(".says", has_text="%").wait_for()
        page.wait_for_load_state("networkidle")
        shoot(page, f"try-{width}-{scheme}")
        address = page.locator(".board").evaluate("board => board.toDataURL('image/png')")
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        expected = conviction.predict(trained, picture).probabilities[0]
        np.testing.assert_allclose(shares(page), expected, atol=1e-4)
        name = page.locator(".probabilities .best bdi").inner_text()
        assert page.locator(".says").inner_text().startswith(f"It says {name} (")
        assert page.locator(".seen").get_attribute("src").startswith("data:image/png")
        assert not Axe().run(page).response["violations"]


@pytest.mark.browser
def test_a_file_is_answered_and_what_is_no_picture_is_a_sentence(
    browser: Any, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "one.png").write_bytes(png(np.zeros((20, 30, 3), np.uint8)))
    (tmp_path / "text.png").write_text("no picture")
    context = new_context(browser)
    page = context.new_page()
    page.goto(served.bench)
    to(page, "try")
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "one.png")
    page.locator(".says", has_text="%").wait_for()
    assert page.locator(".shown").is_visible()
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "text.png")
    page.get_by_text("This file cannot be read as a picture").wait_for()
    # Drawing goes on from there.
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".trouble").inner_text() == ""
    draw(page)
    page.locator(".board").wait_for()
    context.close()


@pytest.mark.browser
def test_the_camera_is_answered_until_it_is_turned_off(browser: Any, served: Served) -> None:
    # Chromium's own camera shows a clock face that moves.
    with opened(browser, served.bench) as page:
        to(page, "try")
        asked: list[str] = []
        page.on("request", lambda one: one.method == "PUT" and asked.append(one.url))
        page.get_by_role("button", name="Camera").click()
        page.locator(".says", has_text="%").wait_for()
        while len(asked) < 3:
            page.wait_for_event("request")
        page.evaluate("window.track = document.querySelector('.trying video').srcObject.getTracks()[0]")
        page.get_by_role("button", name="Camera").click()
        page.wait_for_function("window.track.readyState === 'ended'")
        page.locator(".board").wait_for()
        assert page.locator(".says").inner_text() == "Draw something."


def test_only_own_runs_and_pictures_of_some_size_are_answered(served: Served) -> None:
    with httpx.Client(base_url=served.address, timeout=PATIENCE, trust_env=False) as client:
        desk = client.get("/lab").headers["location"].split("/")[2]
        picture = png(np.zeros((8, 8), np.uint8))

        def asked(path: str, content: bytes = picture, **headers: str) -> httpx.Response:
            return client.put(path, content=content, headers=headers)

        right = f"/lab-answers/{desk}/digits-1"
        answer = asked(right).json()
        assert len(answer["probabilities"]) == len(answer["class_names"]) == 10
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-3)
        assert asked(right, origin="http://other.example").status_code == 403
        for path, content, words in (
            (f"/lab-answers/{desk}/digits-9", picture, "There is no run 'digits-9' here."),
            (f"/lab-answers/{desk}/.lab", picture, "is not the name of a run"),
            ("/lab-answers/nodesk/digits-1", picture, "There is no desk"),
            (right, b"", "cannot be read as a picture"),
            (right, bytes(MOST_PICTURE + 1), "The picture has more than 20 MB."),
        ):
            refused = asked(path, content)
            assert refused.status_code == 422
            assert words in refused.json()["message"]


def test_a_run_that_goes_on_is_read_again(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    picture = png(np.full((8, 8), 200, np.uint8))
    before = try_picture(str(run), picture)
    epochs = conviction.load_run(run).config.training.epochs + 1
    more = run_cli("resume", run, f"training.epochs={epochs}", cwd=tmp_path, home=tmp_path / "home")
    assert more.code == 0, more.err
    assert try_picture(str(run), picture).probabilities != before.probabilities
