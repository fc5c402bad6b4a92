"""The page at /, in a real Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import conviction
from tests.patience import new_context
from tests.server.conftest import Made, Serve, Server, encoded, noise

pytestmark = pytest.mark.browser


@contextmanager
def opened(browser: Any, server: Server, width: int = 1000, scheme: str = "light") -> Iterator[Any]:
    """The page, which asks nobody else for anything and raises no error."""
    context = new_context(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request",
        lambda asked: asked.url.startswith((server.address, "data:", "blob:")) or troubles.append(asked.url),
    )
    page.on(
        "console",
        # A refusal that is shown to the user is in the browser's console as well.
        lambda said: "Failed to load resource" in said.text or troubles.append(said.text),
    )
    page.goto(server.address)
    yield page
    assert troubles == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()


def shoot(page: Any, name: str) -> None:
    """Keeps a picture of the page where somebody wants to look at it."""
    place = os.environ.get("CONVICTION_SHOTS")
    if place:
        page.screenshot(path=str(Path(place) / f"{name}.png"), full_page=True)


@pytest.fixture
def digit(tmp_path: Path, made: Made) -> Path:
    """An unseen digit, as a file."""
    images = conviction.load_source("digits")
    path = tmp_path / "a digit.png"
    Image.fromarray(images.pixels[3, :, :, 0]).resize((64, 64)).save(path)
    return path


def check_accessibility(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    grave = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert not grave, [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in grave]


@pytest.mark.parametrize(("width", "scheme"), [(1000, "light"), (400, "dark")])
def test_a_file_is_classified_and_mapped(
    browser: Any, server: Server, made: Made, digit: Path, *, width: int, scheme: str
) -> None:
    artefact = conviction.load(made.onnx)
    from conviction.data.decode import decode

    expected = artefact.predict_pixels(decode(digit.read_bytes(), artefact.rule)[None])
    with opened(browser, server, width, scheme) as page:
        page.locator("#about").wait_for()
        test = artefact.card.test
        assert f"{100 * test.accuracy:.2f}%" in page.locator("#tested").inner_text()
        for limit in artefact.card.limits:
            assert limit in page.locator("#limits").inner_text()
        shoot(page, f"start-{width}")
        page.locator("#file").set_input_files(str(digit))
        page.locator("#result").wait_for()
        assert page.locator("#said").inner_text().startswith(f"{expected.labels[0]}, ")
        assert page.locator("#bars li").count() == 10
        first = page.locator("#bars li").first.inner_text().split()
        assert first == [expected.labels[0], f"{100 * expected.probabilities.max():.1f}%"]
        page.get_by_role("button", name="What does the answer rest on?").click()
        page.locator("#map").wait_for()
        assert "becomes less probable" in page.locator("#caption").inner_text()
        check_accessibility(page)
        shoot(page, f"answer-{width}")


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        ("stretch", "grayscale"),
        ("crop", "the middle of a picture"),
        ("pad", "all of a picture with black beside it"),
    ],
)
def test_a_map_lies_on_what_the_model_has_seen(
    browser: Any, server: Server, tmp_path: Path, fit: str, words: str
) -> None:
    """Of a picture three times as wide as high; the answer is that of a model with this rule."""
    wide = tmp_path / "wide.png"
    Image.new("L", (96, 32), 200).save(wide)
    drops = [[0.0] * 8 for _ in range(8)]
    drops[0] = drops[3] = [0.5] * 8  # the upper rows are black beside the picture where it is padded
    with opened(browser, server) as page:

        def with_rule(route: Any) -> None:
            response = route.fetch()
            card = response.json()
            card["decoding"]["fit"] = fit
            route.fulfill(response=response, json=card)

        page.route("**/v1/model", with_rule)
        page.route(
            "**/v1/occlusion",
            lambda route: route.fulfill(json={"label": "3", "cell": [4, 4], "drops": drops}),
        )
        page.reload()
        page.locator("#about").wait_for()
        assert words in page.locator("#facts").inner_text()
        page.locator("#file").set_input_files(str(wide))
        page.locator("#result").wait_for()
        page.get_by_role("button", name="What does the answer rest on?").click()
        page.locator("#map").wait_for()
        alpha = np.array(page.evaluate(ALPHA))
    columns = np.flatnonzero(alpha.max(axis=0) > 40) / alpha.shape[1]
    first, last = (1 / 3, 2 / 3) if fit == "crop" else (0, 1)
    assert abs(columns.min() - first) < 0.08
    assert abs(columns.max() - last) < 0.08
    assert (alpha[0].max() > 40) == (fit != "pad")


ALPHA = """(() => { const c = document.getElementById('map'), n = 40, all = [];
const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
for (let y = 0; y < n; y++) { const row = [];
for (let x = 0; x < n; x++)
  row.push(data[4 * (Math.floor(y * c.height / n) * c.width + Math.floor(x * c.width / n)) + 3]);
all.push(row); } return all; })()"""


def test_what_cannot_be_read_is_said(browser: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_bytes(b"these are no pixels")
    with opened(browser, server) as page:
        page.locator("#file").set_input_files(str(tmp_path / "notes.png"))
        page.get_by_role("alert").filter(has_text="not a JPEG").wait_for()
        assert not page.locator("#result").is_visible()
        shoot(page, "problem")
        good = tmp_path / "good.png"
        good.write_bytes(encoded(noise(0)))
        page.locator("#file").set_input_files(str(good))
        page.locator("#result").wait_for()
        assert page.get_by_role("alert").inner_text() == ""


def test_a_drawing_is_classified(browser: Any, server: Server) -> None:
    with opened(browser, server) as page:
        board = page.locator("#board")
        board.wait_for()
        box = board.bounding_box()
        page.mouse.move(box["x"] + 140, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 140, box["y"] + 240, steps=10)
        page.mouse.up()
        lit = (
            "(c => c.getContext('2d').getImageData(140, 140, 1, 1).data[0])(document.getElementById('board'))"
        )
        assert page.evaluate(lit) == 255
        page.get_by_role("button", name="Classify the drawing").click()
        page.locator("#result").wait_for()
        assert page.locator("#caption").inner_text() == "drawing.png"
        shoot(page, "drawing")
        page.get_by_role("button", name="Clear").click()
        assert page.evaluate(lit) == 0


def test_the_camera_gives_a_picture(browser: Any, server: Server) -> None:
    with opened(browser, server) as page:
        page.get_by_role("button", name="use the camera").click()
        page.get_by_role("button", name="Take the picture").click()
        page.locator("#result").wait_for()
        assert page.locator("#caption").inner_text() == "camera.png"
        assert not page.locator("#live").is_visible()


def test_dropped_and_pasted_pictures(browser: Any, server: Server, digit: Path) -> None:
    give = """([kind, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], kind + ".png", {type: "image/png"}));
        const how = kind === "drop" ? {dataTransfer: data} : {clipboardData: data};
        const Event = kind === "drop" ? DragEvent : ClipboardEvent;
        document.getElementById("drop").dispatchEvent(new Event(kind, {bubbles: true, cancelable: true, ...how}));
    }"""
    with opened(browser, server) as page:
        page.locator("#about").wait_for()
        for kind in ("drop", "paste"):
            page.evaluate(give, [kind, list(digit.read_bytes())])
            page.locator("#caption").filter(has_text=f"{kind}.png").wait_for()


def test_a_key_is_asked_for_and_kept_in_the_tab(browser: Any, serve: Serve, digit: Path) -> None:
    key = "a-key-of-the-tests"
    with serve(env={"CONVICTION_API_KEY": key}) as server, opened(browser, server) as page:
        field = page.get_by_label("Key of this server")
        field.wait_for()
        assert not page.locator("#try").is_visible()
        check_accessibility(page)
        field.fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text="does not accept this key").wait_for()
        shoot(page, "key")
        field.fill(key)
        page.keyboard.press("Enter")
        page.locator("#about").wait_for()
        page.locator("#file").set_input_files(str(digit))
        page.locator("#result").wait_for()
        page.reload()
        page.locator("#about").wait_for()
        assert page.evaluate("localStorage.length") == 0


def test_all_of_it_can_be_reached_by_keyboard(browser: Any, server: Server) -> None:
    with opened(browser, server) as page:
        page.locator("#about").wait_for()
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id"))
        assert {"file", "camera", "board", "ask", "clear"} <= set(reached)
