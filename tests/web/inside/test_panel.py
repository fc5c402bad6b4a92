"""The look inside in a real Chromium: a pixel is clicked, and the numbers are the network's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.explanation import activations
from tests.web.pages import check_accessibility, opened, served, shoot

pytestmark = pytest.mark.browser

SETUP = """
from conviction.web.inside import Inspector
from conviction.web.inside.kept import Kept
from conviction.web.jobs.helper import Helper
helper, kept = Helper(), Kept()
inspector = Inspector(helper)
nicegui_app.on_shutdown(helper.close)
@nicegui_app.get("/pid")
def pid():
    return {"pid": helper.pid, "loaded": "tensorflow" in sys.modules or "keras" in sys.modules}
"""
BUILD = """
def build(query, keep):
    from conviction.web.inside.panel import inside_panel
    inside_panel(Path(arguments[0]), inspector, kept, query=query, on_query=keep)
"""


@pytest.fixture(scope="module")
def address(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("inside"), BUILD, trained, setup=SETUP) as where:
        yield where


@pytest.fixture(scope="module")
def layers(trained: Path) -> dict[str, np.ndarray]:
    """What every layer gives for the first validation image."""
    run = conviction.load_run(trained)
    images = conviction.load_source("digits", run.config.data)
    hashes = [h.tobytes().hex() for h in images.hashes]
    row = hashes.index(next(iter(run.split.validation.values())))
    return {o.name: o.output for o in activations(run.model, images.pixels[row])}


def result(page: Any) -> float:
    """The number in the last line of the calculation."""
    return float(page.locator(".lines .result [data-value]").get_attribute("data-value"))


def every_layer(page: Any) -> Any:
    """The list of all layers, which is folded away."""
    if not page.locator(".stack").is_visible():
        page.get_by_text("layers, one by one").click()
    return page.locator(".stack")


def wait_for(page: Any, title: str) -> None:
    page.locator(".value-of").filter(has_text=title).wait_for()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1200, "light"), pytest.param(400, "dark", marks=pytest.mark.full)]
)
def test_a_pixel_is_clicked_and_its_numbers_are_the_layers(
    browser: Any, address: str, layers: dict[str, np.ndarray], width: int, scheme: str
) -> None:
    name, output = next((n, o) for n, o in layers.items() if n.startswith("conv"))
    rows, columns, _ = output.shape
    with opened(browser, f"{address}/?layer=normalise&channel=0", width, scheme) as page:
        wait_for(page, "Row")
        page.get_by_role("button", name=name).click()
        page.locator("h3").filter(has_text=f"{name}: Conv2D").wait_for()
        large = page.get_by_role("application")
        box = large.locator(".map").bounding_box()
        place = {"x": box["width"] * 2.5 / columns, "y": box["height"] * 3.5 / rows}
        large.locator(".map").click(position=place)
        wait_for(page, "Row 3, column 2, channel 0")
        assert result(page) == pytest.approx(float(output[3, 2, 0]), rel=1e-4, abs=1e-5)
        # The products shown and the bias come to what is shown before the activation.
        lines = [
            float(v)
            for v in page.locator(".lines [data-value]").evaluate_all("l => l.map(e => e.dataset.value)")
        ]
        groups = page.locator(".group-of-numbers")
        totals = [
            float(v)
            for v in page.locator(".total [data-value]").evaluate_all("l => l.map(e => e.dataset.value)")
        ]
        totals += [
            float(v)
            for v in page.locator(".rest [data-value]").evaluate_all("l => l.map(e => e.dataset.value)")
        ]
        assert sum(totals) == pytest.approx(lines[0], rel=1e-5, abs=1e-6)
        assert lines[0] + lines[1] == pytest.approx(lines[2], rel=1e-6)
        cells = groups.first.locator("table").evaluate_all(
            "ts => ts.map(t => [...t.querySelectorAll('td')].map(c => Number(c.dataset.value)))"
        )
        assert np.allclose(np.multiply(cells[0], cells[1]), cells[2])
        assert sum(cells[2]) == pytest.approx(totals[0], rel=1e-5, abs=1e-6)
        shoot(page, f"inside-{width}-{scheme}")
        check_accessibility(page)
        # The arrow keys move, and the address follows.
        large.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        wait_for(page, "Row 4, column 3, channel 0")
        assert result(page) == pytest.approx(float(output[4, 3, 0]), rel=1e-4, abs=1e-5)
        page.wait_for_function("location.search.includes('row=4') && location.search.includes('column=3')")
        assert query_of(page) == {"picture": "0", "layer": name, "row": "4", "column": "3", "channel": "0"}
        page.reload()
        wait_for(page, "Row 4, column 3, channel 0")
        # The input that adds most is one step back.
        page.get_by_role("button", name="Go to where it comes from").click()
        page.locator("h3").filter(has_text="normalise: Rescaling").wait_for()
        page.locator(".lines").get_by_text("divided by 255").wait_for()
        # The output begins with the answer.
        answer = int(layers["output"].argmax())
        page.get_by_role("button", name="output").click()
        wait_for(page, f"Unit {answer}")


def test_numbers_typed_faster_than_they_are_answered_all_count(
    browser: Any, address: str, layers: dict[str, np.ndarray]
) -> None:
    name, output = next((n, o) for n, o in layers.items() if n.startswith("conv"))
    with opened(browser, f"{address}/?layer={name}&row=0&column=0&channel=0") as page:
        wait_for(page, "Row 0, column 0, channel 0")
        # All three leave the browser before the first can be answered.
        page.locator(".steps input").evaluate_all(
            "(boxes, to) => boxes.forEach((box, i) => {"
            " box.value = to[i]; box.dispatchEvent(new Event('change', {bubbles: true})); })",
            [5, 3, 2],
        )
        wait_for(page, "Row 5, column 3, channel 2")
        assert result(page) == pytest.approx(float(output[5, 3, 2]), rel=1e-4, abs=1e-5)
        boxes = page.locator(".steps input")
        page.wait_for_function("location.search.includes('row=5') && location.search.includes('channel=2')")
        assert boxes.evaluate_all("boxes => boxes.map(box => box.value)") == ["5", "3", "2"]


def query_of(page: Any) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(page.url).query).items()}


def go_back_and_forward(page: Any, name: str, last: str) -> None:
    """From a value, whose title is ``last``, to a class of the answer, and back through what was looked at."""
    page.locator(".diagram .probabilities li").nth(3).click()
    wait_for(page, "Unit 3")
    page.wait_for_function("location.search.includes('layer=output')")
    page.go_back()
    wait_for(page, last)
    page.wait_for_function("location.search.includes('layer=conv')")
    page.go_back()
    wait_for(page, "Unit")
    page.wait_for_function("location.search.includes('layer=output')")
    page.go_forward()
    wait_for(page, last)
    assert query_of(page)["layer"] == name
    # Two steps back before the first is answered are two steps.
    entries = page.evaluate("history.length")
    page.locator(".diagram .head").first.click()
    page.wait_for_function("name => !location.search.includes(`layer=${name}`)", arg=name)
    page.evaluate("history.back(); history.back()")
    wait_for(page, "Unit")
    page.wait_for_function("location.search.includes('layer=output')")
    assert page.evaluate("history.length") <= entries + 1
    page.go_forward()
    page.wait_for_function("name => location.search.includes(`layer=${name}`)", arg=name)
    wait_for(page, last)


@pytest.mark.parametrize(
    ("width", "scheme"), [(1200, "dark"), pytest.param(390, "light", marks=pytest.mark.full)]
)
def test_the_picture_leads_to_numbers_and_back_to_what_was_before(
    browser: Any, address: str, layers: dict[str, np.ndarray], width: int, scheme: str
) -> None:
    name, output = [(n, o) for n, o in layers.items() if n.startswith("conv")][-1]
    rows, columns, channels = output.shape
    with opened(browser, f"{address}/?layer=output", width, scheme) as page:
        wait_for(page, "Unit")
        stage = page.locator(".diagram .stage").filter(has_text=name)
        assert stage.locator("canvas").count() == min(16, channels)
        tile = stage.locator("canvas").nth(5)
        tile.scroll_into_view_if_needed()
        box = tile.bounding_box()
        tile.click(position={"x": box["width"] * 2.5 / columns, "y": box["height"] * 3.5 / rows})
        wait_for(page, "Row 3, column 2, channel 5")
        assert result(page) == pytest.approx(float(output[3, 2, 5]), rel=1e-4, abs=1e-5)
        assert stage.locator("canvas.chosen").count() == 1
        check_accessibility(page)
        shoot(page, f"inside-picture-{width}-{scheme}")
        if width < 832:
            # On a phone the calculation is a sheet; the tile stays in view above it.
            sheet = page.locator(".calculation.sheet").bounding_box()
            tile_box = tile.bounding_box()
            assert sheet["y"] + sheet["height"] == page.viewport_size["height"]
            assert 0 <= tile_box["y"] <= sheet["y"] - tile_box["height"]
            page.get_by_role("button", name="Close").click()
            page.locator(".calculation.sheet").wait_for(state="detached")
        # A window slides over it until it is stopped; its numbers are those of where it stands.
        page.get_by_role("button", name="One step").dblclick()
        wait_for(page, "Row 3, column 4, channel 5")
        page.get_by_role("button", name="Slide the window").click()
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Slide the window").wait_for()
        page.get_by_label("Speed").fill("60")
        page.get_by_role("button", name="Slide the window").click()
        last = f"Row {rows - 1}, column {columns - 1}, channel 5"
        wait_for(page, last)
        assert result(page) == pytest.approx(float(output[-1, -1, 5]), rel=1e-4, abs=1e-5)
        go_back_and_forward(page, name, last)


@pytest.mark.full
def test_every_layer_shows_what_it_computed(
    browser: Any, address: str, layers: dict[str, np.ndarray]
) -> None:
    last_conv = [name for name in layers if name.startswith("conv")][-1]
    channels = layers[list(layers)[list(layers).index(last_conv) - 1]].shape[2]
    with opened(browser, address) as page:
        for name, output in layers.items():
            every_layer(page).get_by_role("button", name=name).press("Enter")
            page.locator("h3").filter(has_text=f"{name}:").wait_for()
            shape = output.shape
            at = (min(4, shape[0] - 1), min(4, shape[1] - 1), 0) if output.ndim == 3 else (shape[0] // 2,)
            for box, value in zip(
                ("row", "column", "channel") if output.ndim == 3 else ("unit",), at, strict=True
            ):
                field = page.get_by_role("spinbutton", name=box)
                field.fill(str(value))
                field.press("Enter")
            said = "Row {}, column {}, channel {}".format(*at) if output.ndim == 3 else f"Unit {at[0]}"
            wait_for(page, said)
            assert result(page) == pytest.approx(float(output[at]), rel=1e-4, abs=1e-5), name
            page.get_by_text("the same, except for rounding").wait_for()
            if name == last_conv:
                page.get_by_role("button", name=f"Show all {channels} input channels").click()
                page.get_by_role("button", name="Show fewer input channels").wait_for()
                assert page.locator(".group-of-numbers").count() == channels
            shoot(page, f"inside-layer-{name}")
        check_accessibility(page)


def test_an_upload_and_a_drawing_are_looked_at(
    browser: Any, address: str, trained: Path, tmp_path: Path
) -> None:
    rule = conviction.load_run(trained).rule
    pixels = np.zeros((rule.height, rule.width), np.uint8)
    pixels[1:-1, rule.width // 2] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    (tmp_path / "notes.png").write_bytes(b"these are no pixels")
    with opened(browser, address) as page:
        wait_for(page, "Row")
        every_layer(page).get_by_role("button", name="normalise").click()
        page.locator("input[type=file]").set_input_files(str(tmp_path / "notes.png"))
        page.get_by_text("cannot be read as a picture").wait_for()
        page.locator("input[type=file]").set_input_files(str(tmp_path / "one.png"))
        page.get_by_role("img", name="your picture").wait_for()
        for box, value in (("row", 2), ("column", rule.width // 2)):
            page.get_by_role("spinbutton", name=box).fill(str(value))
            page.get_by_role("spinbutton", name=box).press("Enter")
        wait_for(page, f"Row 2, column {rule.width // 2}, channel 0: 1")
        first = page.locator(".diagram .input").evaluate("input => input.toDataURL()")
        page.get_by_role("button", name="Draw one").click()
        board = page.locator(".board")
        board.scroll_into_view_if_needed()
        box = board.bounding_box()
        page.mouse.move(box["x"] + 98, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(box["x"] + 98, box["y"] + 170, steps=8)
        page.mouse.up()
        page.get_by_role("button", name="Clear").click()
        page.get_by_role("button", name="Look at the drawing").click()
        page.get_by_text("nothing on the board").wait_for()
        page.mouse.move(box["x"] + 98, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(box["x"] + 98, box["y"] + 170, steps=8)
        page.mouse.up()
        page.get_by_role("button", name="Look at the drawing").click()
        page.wait_for_function(
            "first => document.querySelector('.diagram .input').toDataURL() !== first", arg=first
        )
        wait_for(page, "Row 2")
        page.wait_for_function("location.search.includes('picture=p')")
        shoot(page, "inside-drawn")
        page.reload()
        page.get_by_role("img", name="your picture").wait_for()


@pytest.mark.full
def test_a_killed_process_is_replaced_and_the_server_loads_no_keras(browser: Any, address: str) -> None:
    import os
    import signal

    with opened(browser, address) as page:
        wait_for(page, "Row")
        first = page.request.get(f"{address}/pid").json()
        assert not first["loaded"]
        os.kill(first["pid"], signal.SIGKILL)
        page.get_by_role("button", name="output").click()
        wait_for(page, "Unit")
        second = page.request.get(f"{address}/pid").json()
        assert second["pid"] not in (None, first["pid"])
        assert not second["loaded"]
