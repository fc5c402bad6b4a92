"""By the keyboard alone; and that no key is lost while the page is drawn anew, however slow the server is."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.web.labs import Served, from_the_lab, held, to
from tests.web.pages import check_accessibility, opened

pytestmark = pytest.mark.browser
LAB = ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense"]


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.dataset.key ?? ''"))


def tab_to(page: Any, key: str) -> None:
    for _ in range(200):
        if focused(page) == key:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{key} cannot be reached by Tab")


def wait_for_layers(page: Any, *kinds: str) -> None:
    page.wait_for_function(
        "kinds => [...document.querySelectorAll('.layer:not(.given) .name b')].map(e => e.innerText).join() === kinds",
        arg=",".join(kinds),
    )


def test_a_network_is_broken_and_mended_by_the_keyboard_alone(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        from_the_lab(page)
        tab_to(page, "remove-4")
        page.keyboard.press("Enter")
        page.get_by_text("needs a vector").wait_for()
        page.wait_for_function("document.activeElement.dataset.key === 'remove-5'")  # what stands there now
        page.keyboard.press("Control+z")
        wait_for_layers(page, *LAB)
        page.keyboard.press("Control+Shift+Z")
        page.get_by_text("needs a vector").wait_for()
        check_accessibility(page)
        page.get_by_role("button", name="Put Flatten before it").wait_for()
        tab_to(page, "fix-0")
        page.keyboard.press("Enter")
        wait_for_layers(page, *LAB)
        tab_to(page, "down-0")
        page.keyboard.press("Enter")
        wait_for_layers(page, "MaxPooling2D", "Conv2D", *LAB[2:])
        page.wait_for_function("document.activeElement.dataset.key === 'down-0'")
        page.keyboard.press("Control+z")
        wait_for_layers(page, *LAB)
        tab_to(page, "edit-0")
        page.keyboard.press("Enter")
        page.get_by_label("filters").wait_for()
        tab_to(page, "filters-0")
        page.keyboard.press("Control+a")
        page.keyboard.type("8")
        page.keyboard.press("Enter")
        page.get_by_text("8 filters 3x3, relu").wait_for()
        assert focused(page) == "filters-0"
        assert page.url.endswith("layer=0")
        # Nothing is above the first layer, and the output alone is below the last.
        for key, off in (("up-0", True), ("down-0", False), ("up-5", False), ("down-5", True)):
            assert page.locator(f"[data-key={key}]").is_disabled() == off


def test_what_is_pressed_before_an_answer_is_drawn_is_done_in_its_order(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        from_the_lab(page)
        tab_to(page, "down-0")
        with held(served):
            page.keyboard.press("Enter")
            page.keyboard.press("Enter")
            page.keyboard.press("Control+z")  # also on a desk on which nothing could be undone yet
            tab_to(page, "edit-0")
            page.keyboard.press("Enter")
        # The first layer has gone down twice and up once, and it is the one that is open.
        page.get_by_label("filters").wait_for()
        wait_for_layers(page, "MaxPooling2D", "Conv2D", *LAB[2:])
        assert page.locator(".layer.open").inner_text().startswith("Conv2D")
        assert page.get_by_label("filters").input_value() == "32"
        assert focused(page) == "edit-0"
        page.keyboard.press("Control+z")
        wait_for_layers(page, *LAB)
        assert page.locator(".layer.open").inner_text().startswith("Conv2D")


def test_what_is_typed_while_an_answer_is_on_its_way_stays(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        from_the_lab(page)
        tab_to(page, "edit-0")
        page.keyboard.press("Enter")
        page.get_by_label("filters").wait_for()
        tab_to(page, "filters-0")
        with held(served):
            page.keyboard.press("Control+a")
            page.keyboard.type("8")
            page.keyboard.press("Tab")
            page.keyboard.press("Control+a")
            page.keyboard.type("5")
        page.get_by_text("8 filters 3x3, relu").wait_for()
        assert focused(page) == "kernel_size-0"
        page.keyboard.type("x3")
        page.keyboard.press("Enter")
        page.get_by_text("8 filters 5x3, relu").wait_for()
        to(page, "compile")
        page.get_by_label("Epochs").fill("3")
        with held(served):
            page.keyboard.press("Tab")
            page.keyboard.press("Control+a")
            page.keyboard.type("128")
        page.locator("[data-key=epochs][value='3']").wait_for()
        page.keyboard.press("Enter")
        page.locator("[data-key=batch_size][value='128']").wait_for()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")  # out of the fields, which have an undo of their own
        page.get_by_role("button", name="Undo: batch size").press("Enter")
        page.locator("[data-key=batch_size][value='64']").wait_for()
        assert page.get_by_label("Batch size").input_value() == "64"


def test_what_is_refused_is_said_at_its_field_until_it_is_mended(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        from_the_lab(page)
        page.locator("[data-key=edit-0]").click()
        field = page.get_by_label("kernel size")
        field.fill("5x3")
        field.press("Enter")
        page.get_by_text("32 filters 5x3, relu").wait_for()
        page.keyboard.press("Control+a")
        page.keyboard.type("big")
        page.keyboard.press("Enter")
        why = page.get_by_text("conv_1, kernel size: a whole number; got 'big'.")
        why.wait_for()
        assert field.input_value() == "big"
        assert field.get_attribute("aria-invalid") == "true"
        assert field.get_attribute("aria-describedby") == why.get_attribute("id")
        assert focused(page) == "kernel_size-0"
        assert page.get_by_text("32 filters 5x3, relu").is_visible()
        check_accessibility(page)
        # The old value is a good one, too.
        page.keyboard.press("Control+a")
        page.keyboard.type("5x3")
        page.keyboard.press("Enter")
        why.wait_for(state="detached")
        assert field.get_attribute("aria-invalid") is None
        to(page, "compile")
        page.get_by_label("Epochs").fill("-3")
        page.get_by_label("Epochs").press("Enter")
        page.get_by_text("Epochs: at least 1; got -3.").wait_for()
        page.get_by_label("Epochs").fill("2")
        page.get_by_label("Epochs").press("Enter")
        page.get_by_text("Epochs: at least 1; got -3.").wait_for(state="detached")
        # What was done on another step is named before it is taken back unseen.
        page.get_by_role("button", name="Undo: epochs").press("Enter")
        page.get_by_role("button", name="Undo: Conv2D changed").wait_for()


def test_a_list_that_another_tab_has_changed_is_not_edited_unseen(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        from_the_lab(page)
        other = page.context.new_page()
        other.goto(page.url)
        wait_for_layers(other, *LAB)
        with held(served):
            other.get_by_role("button", name="Remove Conv2D (conv_1)").click()
            page.get_by_role("button", name="Remove MaxPooling2D (max_pool_1)").click()
        # Whom the server hears first is the network's business; it is the other one that is told.
        page.wait_for_function("document.querySelectorAll('.layer:not(.given)').length === 5")
        other_was_first = page.locator(".layer:not(.given) .name b").first.inner_text() != "Conv2D"
        late, left = (page, LAB[1:]) if other_was_first else (other, [LAB[0], *LAB[2:]])
        late.get_by_text("changed in another tab in the meantime").wait_for()
        for one in (page, other):
            wait_for_layers(one, *left)
        late.get_by_role("button", name="Undo").click()
        for one in (page, other):
            wait_for_layers(one, *LAB)
        other.close()


def test_the_choice_of_images_is_taken_back_as_well(
    browser: Any, served: Served, tmp_path: Path, image_folder: Any
) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in sorted(image_folder(per_class=12).rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "pictures"))
    with opened(browser, served.bench) as page:
        from_the_lab(page)
        page.get_by_role("button", name="Remove Dense").click()
        wait_for_layers(page, *LAB[:-1])
        other = page.context.new_page()
        other.goto(page.url)
        wait_for_layers(other, *LAB[:-1])
        to(page, "data")
        page.get_by_label("An archive").set_input_files(str(tmp_path / "pets.zip"))
        page.wait_for_url("**/data/load")
        # Another tab shows the network for the other images: another input, one output.
        other.get_by_text("1 unit, sigmoid").wait_for()
        to(page, "data")
        page.keyboard.press("Control+z")
        page.get_by_role("button", name="Continue with these: Digits").wait_for()
        for one in (page, other):
            to(one, "network")
            wait_for_layers(one, *LAB[:-1])
            one.get_by_text("10 units, softmax").wait_for()
        other.close()
