"""A page knows one state: its head, the work on it and the lesson beside it speak of the same run and images."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.runs import open_run
from conviction.runs.predictions import read_predictions
from conviction.web.jobs.progress import RunWatcher
from conviction.web.pages.evaluated import evaluated, reasons
from tests.conftest import run_cli
from tests.web.labs import lab, to
from tests.web.pages import opened

SMALL = ("recipe=lab", "training.epochs=1", "model.filters=[4,4]", "model.dense=[8]", "evaluation.test=false")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits whose test set nobody has opened."""
    place = tmp_path_factory.mktemp("sealed")
    made = run_cli("fit", "digits", *SMALL, "--out", "run", cwd=place, home=place / "home")
    assert made.code == 0, made.err
    return place / "run"


def test_a_standing_says_what_it_learned_from_and_whether_its_test_set_was_opened(
    sealed: Path, trained: Path
) -> None:
    standings = [RunWatcher().run(run) for run in (sealed, trained)]
    assert [(s.source, s.opened) for s in standings] == [("digits", False), ("digits", True)]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_what_is_asked_of_one_part_is_answered_of_that_part(
    trained: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the file has answers of a test set that the page does not know to be open."""
    assert evaluated(str(trained), None, part).part == part
    run, known = open_run(trained), read_predictions(trained)[part]
    wrong = np.flatnonzero(known.probabilities.argmax(axis=1) != known.labels)
    monkeypatch.setattr(
        "conviction.web.pages.evaluated.grad_cam", lambda *_: pytest.fail("no mistake is left")
    )
    monkeypatch.setattr("conviction.web.pages.evaluated.MISTAKES_EXPLAINED", 0)
    assert reasons(str(trained), None, part, 0.0) == []
    monkeypatch.undo()
    found = reasons(str(trained), None, part, 0.0)
    names = [run.class_names[i] for i in known.labels[wrong]]
    assert sorted(r.truth for r in found) == sorted(names)[: len(found)] or len(wrong) > len(found)
    assert {r.truth for r in found} <= set(names)


@pytest.mark.browser
def test_after_the_test_set_was_opened_all_of_the_page_knows(
    browser: Any, sealed: Path, tmp_path: Path
) -> None:
    shutil.copytree(sealed, tmp_path / "runs" / "digits-1")
    with lab(tmp_path) as served, opened(browser, served.bench, 1440) as page:
        to(page, "evaluate")
        lesson = page.locator("#lesson-text")
        lesson.get_by_text("The test set of this run is still sealed.").wait_for()
        page.get_by_role("heading", name="On the validation images").wait_for()
        page.get_by_role("button", name="Open the test set").click()
        page.get_by_role("heading", name="On the test images").wait_for()
        lesson.get_by_text("The test set of this run is still sealed.").wait_for(state="detached")
        test = open_run(served.out / "digits-1").evaluation.test
        lesson.get_by_text(f"{test.accuracy:.1%}").first.wait_for()
        assert not page.get_by_text("still sealed").count()
        to(page, "take")
        assert not page.get_by_text("still sealed").count()
        page.get_by_role("button", name="Make Script").wait_for()


@pytest.mark.full
@pytest.mark.browser
def test_head_and_lesson_are_about_the_images_on_the_page(
    browser: Any, sealed: Path, tmp_path: Path, image_folder: Callable[..., Path]
) -> None:
    shutil.copytree(sealed, tmp_path / "runs" / "digits-1")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in sorted(image_folder(per_class=30).rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "pictures"))
    with lab(tmp_path) as served, opened(browser, served.bench, 1440) as page:
        page.get_by_label("An archive").set_input_files(str(tmp_path / "pets.zip"))
        page.wait_for_url("**/data/load")
        head, lesson = page.locator("header .about"), page.locator(".tutor")
        for step in ("data", "network", "compile", "train", "explore"):
            to(page, step)
            assert head.inner_text() == "pets", step
            # What needs a run is of a recorded one, and not of a run on other images.
            lesson.get_by_role("button", name="Quiz").click()
            lesson.locator("[data-key='tab quiz'][aria-pressed=true]").wait_for()
            assert "digits" not in lesson.inner_text(), step
        to(page, "train")
        page.get_by_text("It learned from digits, not from the images above.").wait_for()
        for step in ("evaluate", "inside", "take"):
            to(page, step)
            assert head.inner_text() == "digits", step
        to(page, "network")
        assert head.inner_text() == "pets"
