"""The network that is being built as one picture: its shapes at once, and what it makes of a picture untrained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import conviction
from conviction.config import ImageFacts, load_recipe
from conviction.model import build
from tests.web.labs import Served, from_the_lab
from tests.web.pages import check_accessibility, opened, shoot

pytestmark = pytest.mark.browser

UNTRAINED = "This network is untrained."


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    with opened(browser, served.bench, 1280) as one:
        from_the_lab(one)
        yield one


def shares(page: Any) -> list[int]:
    """The percentages beside the classes."""
    page.wait_for_function("!document.querySelector('.diagram.stale')")
    page.wait_for_function("document.querySelector('.diagram .probabilities .best')")
    return [int(text.rstrip("%")) for text in page.locator(".diagram .probabilities span").all_inner_texts()]


def test_it_shows_what_the_weights_that_training_begins_with_make_of_a_picture(page: Any) -> None:
    page.get_by_text(UNTRAINED).wait_for()
    images = conviction.load_source("digits")
    recipe = load_recipe({"recipe": "lab"}, facts=ImageFacts.of(images.rule.shape, len(images.labels)))
    model = build(recipe.model, images.rule.shape, 10, recipe.training.seed)
    expected = np.asarray(model(images.pixels[:1]))[0]
    np.testing.assert_allclose(shares(page), 100 * expected, atol=0.51)
    check_accessibility(page)
    shoot(page, "network-picture")
    page.get_by_role("button", name="Another picture").click()
    page.get_by_role("img", name=images.names[7919 % len(images.labels)]).wait_for()


def test_shapes_follow_an_edit_and_values_follow_the_shapes(page: Any) -> None:
    page.get_by_text(UNTRAINED).wait_for()
    stage = page.locator(".diagram .stage").nth(2)
    stage.locator("canvas").nth(9).click()
    # What was clicked is open in the list.
    page.locator("li.layer.open").filter(has_text="Conv2D").get_by_label("filters").fill("5")
    page.keyboard.press("Enter")
    stage.filter(has_text="5 maps").wait_for()
    page.get_by_text(UNTRAINED).wait_for()
    assert stage.locator("canvas").count() == 5
    assert sum(shares(page)) in range(95, 106)
    page.get_by_role("button", name=re.compile("^Undo")).click()
    stage.filter(has_text="of 64 maps").wait_for()


@pytest.mark.full
def test_a_network_that_does_not_fit_has_no_picture_and_one_that_is_too_large_only_shapes(page: Any) -> None:
    page.get_by_text(UNTRAINED).wait_for()
    dense = page.locator("li.layer").filter(has_text="Dense")
    dense.get_by_role("button", name="Edit").click()
    dense.get_by_label("units").fill("50000")
    page.keyboard.press("Enter")
    page.get_by_text("too large to run before training").wait_for()
    page.locator(".diagram .stage").filter(has_text="50,000 units").wait_for()
    page.get_by_role("button", name=re.compile("^Undo")).click()
    page.get_by_text(UNTRAINED).wait_for()
    first = page.locator("li.layer").filter(has_text="Conv2D").first
    first.get_by_role("button", name="Edit").click()
    first.get_by_label("kernel size").fill("40")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="Layer 1").wait_for()
    page.locator(".diagram").wait_for(state="hidden")
    page.get_by_role("button", name=re.compile("^Undo")).click()
    page.locator(".diagram").wait_for()


@pytest.mark.full
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (768, "light"), (1920, "light")])
def test_a_deep_network_fits_every_window(browser: Any, served: Served, width: int, scheme: str) -> None:
    with opened(browser, served.bench, width, scheme) as page:
        from_the_lab(page)
        page.get_by_role("button", name="Start again from the recipe best").click()
        page.locator(".diagram .stage").filter(has_text="whitening_1").wait_for()
        page.get_by_text(UNTRAINED).wait_for()
        assert len(shares(page)) == 10
        check_accessibility(page)
        shoot(page, f"network-best-{width}-{scheme}")
        page.get_by_role("button", name="Start again from the recipe lab").click()
        page.locator(".diagram .stage").filter(has_text="dense_1").wait_for()
