"""A network that begins with a backbone, in a real Chromium: chosen, opened, changed, trained, looked into."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import picture
from tests.web.labs import Served, lab, settled, to
from tests.web.pages import check_accessibility, opened, shoot

pytestmark = pytest.mark.browser


def upload(place: Path) -> None:
    """Three classes of coloured pictures, as if they had been sent to the lab."""
    path = place / "runs" / ".lab" / "uploads" / "own" / "1" / "pets.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for label, name in enumerate(("cat", "dog", "fox")):
            for i in range(12):
                file = io.BytesIO()
                Image.fromarray(picture(i, label)).save(file, "PNG")
                archive.writestr(f"{name}/{i}.png", file.getvalue())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("transfer")
    upload(place)
    with lab(place) as one:
        yield one


def with_pets(page: Any) -> None:
    to(page, "data", "source")
    page.get_by_role("button", name="these: pets.zip").click()
    page.wait_for_url("**/data/load*")
    settled(page)


def from_transfer(page: Any) -> None:
    to(page, "network")
    page.get_by_role("button", name="Start again from the recipe transfer").click()
    page.get_by_text("What of it learns").wait_for()


def ask_about_the_backbone(page: Any, name: str) -> None:
    """It is a question about a network that begins with one, and others are not."""
    questions = page.get_by_role("navigation", name="Questions")
    backbone = questions.get_by_role("link", name="How much of the backbone learns?")
    kernel = questions.get_by_role("link", name="Which kernel size?")
    backbone.click()
    page.get_by_role("heading", name="How much of the backbone learns?").wait_for()
    assert kernel.count() == 0
    shoot(page, name)
    page.get_by_text("Settings: starting point, seeds and epochs").click()
    page.get_by_label("Start from").select_option("lab")
    # The question is none about the lab's network, so another one is shown.
    kernel.wait_for()
    assert backbone.count() == 0
    page.get_by_text("Settings: starting point, seeds and epochs").click()
    page.get_by_label("Start from").select_option("own")
    backbone.wait_for()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1440, "light"), pytest.param(390, "dark", marks=pytest.mark.full)]
)
def test_a_backbone_is_chosen_opened_and_told_what_to_learn(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    with opened(browser, served.bench, width, scheme) as page:
        with_pets(page)
        to(page, "network")
        page.get_by_role("button", name="Start again from the recipe lab").click()
        page.get_by_text("For photographs, and for few of them").wait_for()
        from_transfer(page)
        # The images have another size now, and another scaling.
        page.get_by_text("(x - 127) / 128, so that raw pixels go in").wait_for()
        page.locator(".diagram .stage").filter(has_text="efficientnet_lite0").wait_for()
        row = page.locator("li.layer.backbone")
        assert "EfficientNet-Lite0" in row.inner_text()
        assert "ImageNet" in row.inner_text()
        assert row.get_by_role("button").count() == 0  # it can be neither moved nor removed
        assert page.locator("[data-key=add-kind] option").filter(has_text="Backbone").count() == 0
        row.get_by_text("Open it: 140 layers in 16 blocks").click()
        row.get_by_text("Block 3", exact=True).click()
        row.get_by_role("cell", name="56 x 56 x 144").first.wait_for()
        assert row.locator(".pill").count() == 0
        shoot(page, f"network-transfer-{width}-{scheme}")
        check_accessibility(page)
        page.locator("[data-key=trainable]").select_option("2")
        page.get_by_text("its last 2 blocks learn").wait_for()
        # The last two blocks, and what comes after them.
        assert row.locator(".pill").count() == 3
        page.get_by_text("Undo: Backbone changed").click()
        page.get_by_text("It is frozen").wait_for()
        to(page, "explore")
        ask_about_the_backbone(page, f"explore-transfer-{width}-{scheme}")
        to(page, "data", "normalise")
        page.get_by_text("scaled as they were when the backbone learned").wait_for()
        page.get_by_role("heading", name="After: (x - 127) / 128").wait_for()
        shoot(page, f"normalise-transfer-{width}-{scheme}")
        # The chapter about it, also where the lesson was hidden.
        to(page, "network")
        # In a narrow window the button in the head scrolls to the lesson.
        hide = "Hide the lesson" if width < 1000 else "Lesson"
        page.get_by_role("button", name=hide, exact=True).click()
        page.locator("aside.chapter").wait_for(state="hidden")
        page.get_by_role("button", name="Read in the lesson: Standing on other networks").click()
        lesson = page.locator("#lesson-text")
        lesson.get_by_role("heading", name="Standing on other networks").first.wait_for()
        # The split comes when the pretrained network has looked at the pictures; the chapter follows.
        lesson.get_by_text("of them are in EfficientNet-Lite0, and 3,843 learn").wait_for()
        page.locator(".on-screen").get_by_role("link", name="network").wait_for()
        shoot(page, f"chapter-transfer-{width}-{scheme}")
        check_accessibility(page)


@pytest.mark.full
def test_it_is_trained_and_its_layers_are_looked_into(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1440) as page:
        with_pets(page)
        from_transfer(page)
        to(page, "compile")
        page.get_by_label("Epochs").fill("3")
        page.get_by_label("Epochs").press("Enter")
        page.get_by_text("Undo: epochs").wait_for()
        to(page, "train")
        page.get_by_role("button", name="Train this network").click()
        page.get_by_text("3 of 3 epochs").wait_for()
        page.locator(".pill", has_text="done").first.wait_for()
        to(page, "inside")
        page.locator(".value-of").wait_for()
        page.get_by_role("button", name="Block 3 56 x 56 x 24").click()
        page.get_by_role("button", name="block3_add 56 x 56 x 24").click()
        page.locator("h3").filter(has_text="efficientnet_lite0/block3_add: Add").wait_for()
        page.get_by_text("the same, except for rounding").wait_for()
        shoot(page, "inside-transfer")
        check_accessibility(page)
        # It comes from one of two layers, each in its table cell.
        page.locator("td[data-at]").nth(0).click()
        page.locator("h3").filter(
            has_text="efficientnet_lite0/block2_project_norm: BatchNormalization"
        ).wait_for()
        page.get_by_role("button", name="block2_depthwise 56 x 56 x 96").click()
        page.locator("h3").filter(has_text="DepthwiseConv2D").wait_for()
        page.get_by_text("This kernel sees one channel alone").wait_for()
        # The address leads back to the same layer, whose block is open then.
        page.wait_for_function("location.search.includes('block2_depthwise')")
        page.reload()
        page.locator("button[aria-current]", has_text="block2_depthwise").wait_for()


# The package of weights is not installed.
WITHOUT_WEIGHTS = """
import conviction.model.backbones.weights as weights
weights.find_spec = lambda name: None
from conviction.cli.main import main
main()
"""


@pytest.mark.full
def test_without_weights_the_page_says_what_to_install_and_trains_nothing(
    browser: Any, tmp_path: Path
) -> None:
    upload(tmp_path)
    with lab(tmp_path, script=WITHOUT_WEIGHTS) as one, opened(browser, one.bench) as page:
        with_pets(page)
        from_transfer(page)
        page.locator(".layer.backbone .trouble").get_by_text("pip install 'conviction[transfer]'").wait_for()
        to(page, "train")
        page.get_by_text("pip install 'conviction[transfer]'").wait_for()
        assert page.get_by_role("button", name="Train this network").is_disabled()
        shoot(page, "train-without-weights")
