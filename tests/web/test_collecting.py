"""Classes that are made on the page: loose pictures, and recordings of the camera that stay together."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import conviction
from conviction.web.work.desk import NAMED_SESSIONS
from tests.data.builders import png
from tests.web.labs import Served, lab, to
from tests.web.pages import opened, shoot
from tests.web.test_opening import HERE, LIVE, node

pytestmark = pytest.mark.browser


def test_an_archive_is_what_tar_reads(tmp_path: Path) -> None:
    names = ["cat/picture-0.png", "قط/session-1-0000.jpg", f"{'d' * 140}/picture-12.webp"]
    node(str(HERE / "pack.mjs"), LIVE.as_uri(), str(tmp_path / "x.tar"), *names)
    with tarfile.open(tmp_path / "x.tar") as archive:
        read = {one.name: archive.extractfile(one).read().decode() for one in archive}  # type: ignore[union-attr]
    assert read == {name: name for name in names}


def test_loose_pictures_go_into_named_classes(browser: Any, served: Served, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for n in range(12):
            (tmp_path / name / f"{n}.png").write_bytes(png(random.integers(0, 256, (16, 16, 3), np.uint8)))
    with opened(browser, served.bench) as page:
        to(page, "data")
        page.get_by_role("button", name="Use these pictures").click()
        page.get_by_text("You need at least two classes").wait_for()
        for row, name in enumerate(("cat", "dog")):
            part = page.locator(".one-class").nth(row)
            part.get_by_label("Class").fill(name)
            part.get_by_label("Add pictures").set_input_files(sorted((tmp_path / name).iterdir()))
            part.get_by_text("12 pictures").wait_for()
        shoot(page, "collecting")
        # A class that was removed comes back to its place, with its pictures.
        page.locator(".one-class").first.get_by_role("button", name="Remove").click()
        removed = page.locator(".removed")
        removed.get_by_text("cat with 12 pictures was removed.").wait_for()
        assert page.locator(".one-class").count() == 1
        assert not Axe().run(page).response["violations"]
        removed.get_by_role("button", name="Undo").click()
        assert page.locator(".one-class").first.get_by_label("Class").input_value() == "cat"
        assert page.locator(".one-class").first.locator(".strip img").count() == 12
        assert not Axe().run(page).response["violations"]
        page.get_by_role("button", name="Use these pictures").click()
        page.wait_for_url("**/data/load")
        page.get_by_text("24 images of 2 classes").wait_for()
        assert page.locator(".top .about").inner_text() == "cat-dog"


# A camera of which no two pictures are alike, for as long as a test may take.
CAMERA = """navigator.mediaDevices.getUserMedia = async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 120 });
  const pen = canvas.getContext("2d");
  setInterval(() => {
    for (let n = 0; n < 192; n++) {
      pen.fillStyle = `hsl(${360 * Math.random()} 60% ${20 + 60 * Math.random()}%)`;
      pen.fillRect(10 * (n % 16), 10 * Math.floor(n / 16), 10, 10);
    }
  }, 30);
  return canvas.captureStream(30);
};"""


def record(page: Any, row: int, pictures: int) -> None:
    """Holds the button until there are so many pictures more."""
    counts = "document.querySelectorAll('.one-class .counts')"
    size = f"(row) => Number.parseInt({counts}[row].textContent || '0')"
    before = page.evaluate(size, row)
    page.locator(".one-class").nth(row).get_by_role("button", name="Hold to record").hover()
    page.mouse.down()
    page.wait_for_function(f"([row, least]) => ({size})(row) >= least", arg=[row, before + pictures])
    page.mouse.up()


def test_what_is_recorded_in_one_go_stays_in_one_part(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path) as served, opened(browser, served.bench, script=CAMERA) as page:
        to(page, "data")
        for row, name in enumerate(("left", "right")):
            page.locator(".one-class").nth(row).get_by_label("Class").fill(name)
            for _ in range(2):
                record(page, row, 4)
        page.get_by_role("button", name="Use these pictures").click()
        page.get_by_text("left: 2 of 3 recordings.").wait_for()
        for row in (0, 1):
            for _ in range(2):
                record(page, row, 4)
        shoot(page, "recorded")
        page.get_by_role("button", name="Use these pictures").click()
        page.wait_for_url("**/data/load")
        page.get_by_text("of 2 classes").first.wait_for()
        to(page, "data", "split")
        page.locator("[data-key=onward]").wait_for()
        shoot(page, "recorded-split")
        page.get_by_text("Each of your recordings stays in one part.").wait_for()
        (desk,) = (served.out / ".lab").rglob("desks/*.json")
        kept = json.loads(desk.read_text())
    assert kept["draft"]["keys"]["data.group"] == NAMED_SESSIONS
    parts = conviction.split(kept["source"], {"data.group": NAMED_SESSIONS}, show=None)
    where = defaultdict(set)
    for part in ("train", "validation", "test"):
        for row in parts.split.of(part):
            where[parts.images.names[row].rpartition("-")[0]].add(part)
    assert len(where) == 8
    assert all(len(one) == 1 for one in where.values())


# A camera that people allow some time after they were asked; how many streams are on is counted.
LATE = (
    CAMERA
    + """
const soon = navigator.mediaDevices.getUserMedia;
window.streams = [];
window.asked = 0;
navigator.mediaDevices.getUserMedia = async () => {
  window.asked++;
  await new Promise((done) => (window.allow = done));
  const stream = await soon();
  window.streams.push(stream);
  return stream;
};"""
)
ON = "window.streams.flatMap((one) => one.getTracks()).filter((one) => one.readyState === 'live').length"


def test_a_camera_that_comes_late_records_nothing_unasked(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, script=LATE) as page:
        to(page, "data")
        part = page.locator(".one-class").first
        for _ in range(2):
            part.get_by_role("button", name="Hold to record").click()
        page.evaluate("window.allow()")
        page.get_by_text("The camera is on. Hold the button to record.").wait_for()
        assert page.evaluate("window.asked") == page.evaluate(ON) == 1
        assert part.locator(".strip img").count() == 0
        record(page, 0, 3)
        part.get_by_role("button", name="Remove").click()
        page.get_by_role("button", name="Camera").click()
        page.wait_for_function(f"{ON} === 0")


@pytest.mark.parametrize("where", ["", "try"])
def test_a_camera_that_is_not_wanted_any_more_goes_off(
    browser: Any, tmp_path: Path, trained: Path, where: str
) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "digits-1")
    with lab(tmp_path) as served, opened(browser, served.bench, script=LATE) as page:
        page.goto(served.address) if not where else to(page, where)
        camera = page.get_by_role("button", name=re.compile("camera", re.I))
        camera.click()
        page.wait_for_function("window.allow !== undefined")
        camera.click()
        page.evaluate("window.allow()")
        page.wait_for_function(f"window.streams.length === 1 && {ON} === 0")
        assert camera.get_attribute("aria-pressed") == "false"
        camera.click()
        page.wait_for_function("window.asked === 2")
        page.evaluate("window.allow()")
        page.wait_for_function(f"{ON} === 1")
        page.get_by_role("button", name="Clear").click()
        page.wait_for_function(f"{ON} === 0")
