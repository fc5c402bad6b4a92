"""Where the audit finds images that are better left out, a button leaves them out, and Undo takes them back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conviction.runs import open_run
from tests.conftest import picture
from tests.web.labs import Served, lab, to
from tests.web.pages import check_accessibility, opened, shoot

pytestmark = pytest.mark.browser
# The names that a list must survive.
ODD = 'cat/odd, name \u05d0 "1".png'


def write_archive(path: Path) -> None:
    """Two classes of 40 pictures; three are copies, one is blank, and one is in both classes."""

    def png(pixels: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for label, name in enumerate(("cat", "dog")):
            for i in range(40):
                archive.writestr(f"{name}/{i}.png", png(picture(i, label)))
        for i in range(2):
            archive.writestr(f"cat/copy-{i}.png", png(picture(i, 0)))
        archive.writestr(ODD, png(picture(2, 0)))
        archive.writestr("dog/blank.png", png(np.zeros((20, 20, 3), np.uint8)))
        archive.writestr("dog/both.png", png(picture(5, 0)))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    write_archive(tmp_path / "runs" / ".lab" / "uploads" / "own" / "1" / "pets.zip")
    with lab(tmp_path) as one:
        yield one


def finding(page: Any, words: str) -> Any:
    return page.locator(".finding", has_text=words)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_what_the_audit_finds_is_left_out_and_taken_back(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    with opened(browser, served.bench, width, scheme) as page:
        to(page, "data", "source")
        page.get_by_role("button", name="these: pets.zip").click()
        page.wait_for_url("**/data/load")
        to(page, "data", "audit")
        finding(page, "exact copies").wait_for()
        check_accessibility(page)
        shoot(page, f"audit-leave-out-{width}-{scheme}")
        page.get_by_role("button", name="Leave 3 images out").click()
        finding(page, "exact copies").wait_for(state="detached")
        # The next one comes to what is left out already.
        page.get_by_role("button", name="Leave 1 image out").click()
        finding(page, "is blank").wait_for(state="detached")
        # Which of two is right, only a person knows.
        conflict = finding(page, "more than one class")
        conflict.get_by_role("button").nth(1).wait_for()
        assert conflict.get_by_role("button").count() == 2
        conflict.get_by_role("button", name="Leave out dog/both.png").click()
        conflict.wait_for(state="detached")
        to(page, "data", "split")
        page.get_by_text("5 images are left out").wait_for()
        page.get_by_text("Undo: images left out").click()
        page.get_by_text("4 images are left out").wait_for()
        to(page, "data", "audit")
        conflict.wait_for()
        for _ in range(2):
            page.get_by_text("Undo: images left out").click()
            page.get_by_text("Redo: images left out").wait_for()
        finding(page, "exact copies").wait_for()
        finding(page, "is blank").wait_for()


@pytest.mark.full
def test_a_run_learns_without_them(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        to(page, "data", "source")
        page.get_by_role("button", name="these: pets.zip").click()
        page.wait_for_url("**/data/load")
        to(page, "data", "audit")
        page.get_by_role("button", name="Leave 3 images out").click()
        finding(page, "exact copies").wait_for(state="detached")
        # Another recipe is another network, and not other images.
        to(page, "network")
        page.get_by_role("button", name="Start again from the recipe fast").click()
        to(page, "train")
        page.get_by_role("button", name="Train this network").click()
        page.wait_for_url("**/train/pets-*")
        name = page.url.rpartition("/")[2]
        page.locator(".pill", has_text="done").first.wait_for()
        parts = open_run(served.out / name).split
        names = {one for part in (parts.train, parts.validation, parts.test) for one in part}
        assert not names & {"cat/copy-0.png", "cat/copy-1.png", ODD}
        assert {"cat/0.png", "cat/1.png", "cat/2.png", "dog/blank.png"} <= names
        # In the list of runs and beside another run, nothing says where the server keeps its list.
        to(page, "data", "audit")
        page.get_by_text("Undo: the recipe fast").click()
        page.get_by_text("Undo: images left out").click()
        finding(page, "exact copies").wait_for()
        to(page, "train")
        page.get_by_role("button", name="Train this network").click()
        page.locator(".runs").get_by_text(f"Compared with {name}").wait_for()
        assert str(served.out) not in page.content()
