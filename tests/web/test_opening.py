"""The first page: its network in the browser, what is drawn, the camera, and the ways on."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from scipy.signal import correlate

from tests.conftest import environment
from tests.patience import PATIENCE, new_context
from tests.web.labs import Served, lab
from tests.web.pages import opened, shoot

LIVE = Path(str(resources.files("conviction.web"))) / "static" / "live"
HERE = Path(__file__).parent / "live"
# Of the whole page, without the ten digits and their shares.
MOST_WORDS = 40
MOST_CLICKS = 12


def node(*arguments: str, **variables: str) -> str:
    """What Node prints; the one of the extra dev."""
    run = subprocess.run(
        [str(Path(sys.executable).with_name("node")), *arguments],
        env={**environment(Path("home")), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def answers(pictures: np.ndarray, file: Path, what: str = "stages") -> Any:
    """What the network of the page makes of pictures (n, 28, 28) uint8."""
    file.write_bytes(pictures.tobytes())
    return json.loads(node(str(HERE / "answers.mjs"), LIVE.as_uri(), str(file), what))


def test_what_needs_no_browser() -> None:
    node("--test", *map(str, HERE.glob("*.test.mjs")), LIVE=LIVE.as_uri())


def numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_the_layers_compute_what_scipy_computes(tmp_path: Path) -> None:
    file = json.loads((LIVE / "digits.json").read_text())
    picture = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    (answer,) = answers(picture[None], tmp_path / "pictures")
    maps = picture[None].astype(float) / 255
    for layer, stage in zip(file["layers"], answer["stages"], strict=True):
        if layer["type"] == "MaxPooling2D":
            count, height, width = maps.shape
            maps = maps.reshape(count, height // 2, 2, width // 2, 2).max((2, 4))
        elif layer["type"] == "Conv2D":
            kernel = numbers(layer["weights"]).reshape(*layer["kernel_size"], len(maps), layer["filters"])
            parts = np.array(
                [
                    [correlate(plane, kernel[..., i, j], "same", "direct") for i, plane in enumerate(maps)]
                    for j in range(layer["filters"])
                ]
            )
            np.testing.assert_allclose(np.ravel(stage["flows"]), parts.sum((2, 3)).ravel(), atol=1e-2)
            np.testing.assert_allclose(stage["sizes"], np.abs(parts).sum((2, 3)).ravel(), atol=1e-2)
            maps = np.maximum(0, parts.sum(1) + numbers(layer["bias"])[:, None, None])
        else:
            weights = numbers(layer["weights"]).reshape(-1, layer["units"])
            maps = np.transpose(maps, (1, 2, 0)).ravel() @ weights + numbers(layer["bias"])
        np.testing.assert_allclose(stage["values"], maps.ravel(), atol=1e-3)
    powers = np.exp(maps - maps.max())
    np.testing.assert_allclose(answer["probabilities"], powers / powers.sum(), atol=1e-5)


@pytest.mark.data
def test_it_is_right_as_often_as_the_page_says(tmp_path: Path) -> None:
    file = Path(os.environ.get("CONVICTION_DATA_DIR", "/nonexistent")) / "mnist.npz"
    if not file.is_file():
        pytest.skip("set CONVICTION_DATA_DIR to a folder with mnist.npz")
    with np.load(file) as mnist:
        pictures, labels = mnist["x_test"], mnist["y_test"]
    evidence = json.loads((LIVE / "digits.json").read_text())["evidence"]
    right = int((np.array(answers(pictures, tmp_path / "pictures", "classes")) == labels).sum())
    assert evidence == {"images": len(labels), "right": right}


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_writes_a_digit_and_reads_what_is_drawn(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    with opened(browser, served.address, width, scheme) as page:
        page.get_by_text("Read as 3").wait_for(state="attached")
        shoot(page, f"opening-{width}-{scheme}")
        assert not Axe().run(page).response["violations"]
        shown = page.locator("body").inner_text().replace(page.locator(".probabilities").inner_text(), "")
        assert len(shown.split()) <= MOST_WORDS
        page.get_by_role("button", name="Clear").click()
        page.locator("#read", has_text=re.compile("^$")).wait_for(state="attached")
        draw(page, [(0.3, 0.25), (0.7, 0.25), (0.45, 0.85)])
        page.get_by_text("Read as 7").wait_for(state="attached")
        assert page.locator(".probabilities .best b").inner_text() == "7"
        # What was drawn is kept when a line is added, and replaced by what the pen writes.
        page.get_by_role("button", name="Another digit").click()
        page.get_by_text("Read as 4").wait_for(state="attached")


def draw(page: Any, points: list[tuple[float, float]]) -> None:
    """A line through points, as shares of the sheet."""
    box = page.locator("canvas.input").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=12)
    page.mouse.up()


@pytest.mark.browser
def test_lines_and_windows_follow_the_pointer(browser: Any, served: Served) -> None:
    with opened(browser, served.address) as page:
        page.get_by_text("Read as 3").wait_for(state="attached")
        inked = "(selector) => { const c = document.querySelector(selector); return c.getContext('2d')"
        inked += ".getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); }"
        assert page.evaluate(inked, ".lines")
        assert not page.evaluate(inked, ".marks")
        page.locator(".column.convolution canvas").nth(9).hover()
        page.wait_for_function(inked, arg=".marks")
        page.mouse.move(2, 2)
        page.wait_for_function(f"(selector) => !({inked})(selector)", arg=".marks")


@pytest.mark.browser
def test_nothing_moves_for_those_who_want_no_motion(browser: Any, served: Served) -> None:
    context = new_context(browser, reduced_motion="reduce")
    # Every number that is shown on the way, from the first.
    context.add_init_script(
        "window.seen = new Set(); new MutationObserver(() => { for (const one of "
        "document.querySelectorAll('.best span')) window.seen.add(one.textContent); })"
        ".observe(document, {childList: true, subtree: true, characterData: true, attributes: true});"
    )
    page = context.new_page()
    page.goto(served.address)
    page.get_by_text("Read as 3").wait_for(state="attached")
    assert len(page.evaluate("[...window.seen]")) == 1
    context.close()


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a 7 on paper, as cameras give it: YUV with 4 values of brightness to 1 of each colour."""
    sheet = Image.new("L", (640, 480), 200)
    ImageDraw.Draw(sheet).line([(240, 110), (400, 110), (300, 390)], 40, 36, joint="curve")
    grey = np.full(640 * 480 // 2, 128, np.uint8).tobytes()
    file = tmp_path_factory.mktemp("camera") / "seven.y4m"
    frame = b"FRAME\n" + np.asarray(sheet).tobytes() + grey
    file.write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + frame * 3)
    return file


@pytest.mark.browser
def test_it_reads_what_the_camera_sees_and_lets_it_go(browser: Any, served: Served, seven: Path) -> None:
    arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    own = browser.browser_type.launch(
        executable_path=shutil.which("chromium"),
        args=[*arguments, f"--use-file-for-fake-video-capture={seven}"],
    )
    with opened(own, served.address) as page:
        page.get_by_role("button", name="Show it my camera").click()
        page.get_by_text("Read as 7").wait_for(state="attached")
        shoot(page, "opening-camera")
        track = "document.querySelector('video').srcObject.getTracks()[0]"
        page.evaluate(f"window.track = {track}")
        page.get_by_role("button", name="Show it my camera").click()
        page.wait_for_function("window.track.readyState === 'ended'")
        assert page.locator("video").is_hidden()
    own.close()


@pytest.mark.browser
def test_a_camera_that_is_not_there_is_a_sentence(browser: Any, served: Served) -> None:
    refuse = (
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotFoundError') }"
    )
    with opened(browser, served.address, script=refuse) as page:
        page.get_by_role("button", name="Show it my camera").click()
        page.get_by_text("The camera did not start").wait_for()
        assert page.get_by_role("button", name="Show it my camera").get_attribute("aria-pressed") == "false"


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.full)])
def test_a_newcomer_comes_from_the_opening_to_what_a_value_is_made_of(
    browser: Any, tmp_path: Path, width: int
) -> None:
    clicks = []

    def click(target: Any) -> None:
        target.click()
        clicks.append(target)

    with lab(tmp_path) as served, opened(browser, served.address, width) as page:
        assert page.get_by_role("link", name="Step by step").get_attribute("href") == "/lab"
        click(page.get_by_role("button", name="Train your own"))
        page.wait_for_url("**/train/digits-1")
        page.locator(".track .current", has_text="Train").wait_for()
        page.locator(".kernels canvas").nth(31).wait_for()
        shoot(page, f"walk-training-{width}")
        page.get_by_text("12 of 12 epochs.").wait_for()
        page.locator(".track .current").wait_for(state="detached")
        assert page.locator(".track .done").count() == 7
        following = page.locator("[data-key=onward]")
        assert is_in_view(following)
        click(following.filter(has_text="Evaluate"))
        page.get_by_role("heading", name="On the validation images").wait_for()
        click(following.filter(has_text="Try it"))
        page.locator(".board").wait_for()
        click(following.filter(has_text="Look inside"))
        click(page.get_by_role("button", name="conv_1"))
        click(page.get_by_role("application").locator(".map"))
        page.locator(".lines .result [data-value]").wait_for()
        shoot(page, f"walk-inside-{width}")
        page.get_by_role("link", name="conviction lab").click()
        page.get_by_role("link", name="Continue with digits-1").wait_for()
    assert len(clicks) <= MOST_CLICKS


def is_in_view(element: Any) -> bool:
    return bool(
        element.evaluate(
            "(e) => { const box = e.getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight; }"
        )
    )


def test_two_clicks_start_one_training(served: Served) -> None:
    def click() -> str:
        answer = httpx.post(f"{served.address}/train-your-own", trust_env=False, timeout=PATIENCE)
        assert answer.status_code == 303
        return answer.headers["location"].rpartition("/")[2]

    assert click() == click()


@pytest.mark.browser
def test_own_pictures_are_one_click_away(browser: Any, served: Served) -> None:
    with opened(browser, served.address) as page:
        page.get_by_role("link", name="Use my pictures").click()
        page.wait_for_url("**/data#own")
        page.get_by_role("heading", name="Your own", exact=True).wait_for()


def test_no_other_page_starts_a_training(served: Served) -> None:
    elsewhere = httpx.post(
        f"{served.address}/train-your-own", headers={"origin": "http://other.example"}, trust_env=False
    )
    assert elsewhere.status_code == 403
