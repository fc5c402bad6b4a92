"""The way back on the page: the gradients of a learner's own network, and one step that is only tried."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conviction
from conviction.explanation import descend, way_back
from tests.web.labs import Served, lab
from tests.web.pages import check_accessibility, opened, shoot

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(trained, place / "runs" / "digits-1")
    with lab(place) as one:
        yield one


@pytest.fixture(scope="module")
def first(trained: Path) -> tuple[Any, np.ndarray, int]:
    """The network, its first validation image and the label of that."""
    run = conviction.load_run(trained)
    images = conviction.load_source("digits", run.config.data)
    hashes = [h.tobytes().hex() for h in images.hashes]
    row = hashes.index(next(iter(run.split.validation.values())))
    return run.model, images.pixels[row], int(images.labels[row])


def shown(page: Any) -> float:
    """The gradient of the value, as the last line but those of the activation and the pixel has it."""
    return float(page.locator(".way-back .lines .result [data-value]").first.get_attribute("data-value"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_way_back_of_a_value_leads_on_to_the_next_layer(
    browser: Any, served: Served, first: tuple[Any, np.ndarray, int], width: int, scheme: str
) -> None:
    model, pixels, label = first
    layer = next(one.name for one in model.layers if type(one).__name__ == "Conv2D")
    other = (label + 1) % 10
    row, column, channel = np.unravel_index(
        np.abs(way_back(model, pixels, layer, other).gradient).argmax(),
        model.get_layer(layer).output.shape[1:],
    )
    at = f"?layer={layer}&row={row}&column={column}&channel={channel}"
    with opened(browser, served.bench, width, scheme) as page:
        page.goto(page.url.rpartition("/")[0] + "/inside/digits-1" + at)
        page.locator(".value-of").wait_for()
        # What stands side by side does not overlap.
        grid, picture = (page.locator(css).bounding_box() for css in (".inside .thumbs", ".diagram"))
        assert grid["y"] + grid["height"] <= picture["y"]
        page.get_by_text("The way back").last.click()
        page.get_by_text("The framework computes").wait_for()
        value = way_back(model, pixels, layer, label).at((int(row), int(column), int(channel)))
        assert shown(page) == pytest.approx(value.gradient, rel=1e-3, abs=1e-9)
        # Of another class, that which the picture is not.
        page.get_by_label("Label").select_option(str(other))
        page.get_by_text(f"With the label {other}").wait_for()
        value = way_back(model, pixels, layer, other).at((int(row), int(column), int(channel)))
        assert shown(page) == pytest.approx(value.gradient, rel=1e-3, abs=1e-9)
        page.get_by_text("the same, except for rounding").last.wait_for()
        check_accessibility(page)
        shoot(page, f"way-back-{width}-{scheme}")
        # A step that is tried.
        steps = descend(model, pixels, other, (0.001, 0.01, 0.1))
        page.get_by_role("button", name="Take one step").click()
        table = page.get_by_role("region", name="Steps")
        table.wait_for()
        assert table.locator("tbody td:nth-child(2)").all_inner_texts() == [
            f"{loss:.4g}" for loss in steps.losses
        ]
        page.get_by_label("Learning rate").fill("-1")
        page.get_by_role("button", name="Take one step").click()
        page.get_by_text("Learning rate: expected a number above 0").wait_for()
        # What comes back comes from the next layer, and leads there.
        following = value.flows[0]
        page.locator(".way-back [data-at]").first.click()
        page.locator(".inside h3").filter(has_text=following.layer).wait_for()
        page.get_by_text("With the label").wait_for()
        # Another picture is of its own class again.
        page.locator(".inside .thumb").nth(1).click()
        page.get_by_text(f"With the label {other}").wait_for(state="detached")
        page.locator(".way-back summary").click()
        check_accessibility(page)


def test_at_the_end_stands_p_minus_y(
    browser: Any, served: Served, first: tuple[Any, np.ndarray, int]
) -> None:
    model, pixels, label = first
    with opened(browser, served.bench, 1280) as page:
        page.goto(page.url.rpartition("/")[0] + f"/inside/digits-1?layer=output&channel={label}")
        page.locator(".value-of").wait_for()
        page.get_by_text("The way back").last.click()
        page.get_by_text("p - y: the gradient of its logit").wait_for()
        p = way_back(model, pixels, "output", label).probabilities
        assert shown(page) == pytest.approx(float(p[label]) - 1.0, rel=1e-2, abs=1e-7)
