"""The class on a page, in a real Chromium, and the file that a teacher takes away."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from conviction.lesson.progress import update_progress
from conviction.web.classroom import Learners, keep_guess, load_course
from tests.web.classroom.test_classroom import RECORDED, write
from tests.web.pages import check_accessibility, opened, served, shoot

BUILD = """
def build(query, keep):
    from conviction.web.classroom import Learners, load_course
    from conviction.web.classroom.panel import class_panel
    async def sign_out():
        return 3
    class_panel("Seeing machines", Learners(load_course(arguments[0]), Path(arguments[1])).everyone, sign_out)
"""


@pytest.mark.browser
def test_a_teacher_sees_the_class_and_takes_it_away(browser: Any, tmp_path: Path) -> None:
    course, root = write(tmp_path), tmp_path / "runs"
    ada = Learners(load_course(course), root).join("Ada", "adas-own-token").learner
    shutil.copytree(RECORDED, ada.runs / "fashion_mnist-lab-1")
    update_progress(lambda progress: progress.quiz.update(data=(3, 4)), ada.progress)
    keep_guess(ada.guesses, "kernel", "=HYPERLINK(1)", "No detectable difference.")
    with served(tmp_path, BUILD, course, root) as address, opened(browser, address) as page:
        page.get_by_role("cell", name="fashion_mnist-lab-1").wait_for()
        page.get_by_text("Learners: 2. Runs: 1, of which 1 finished.").wait_for()
        page.get_by_role("cell", name="data 3 of 4").wait_for()
        shoot(page, "class")
        check_accessibility(page)
        page.get_by_role("button", name="Sign everybody out").click()
        page.get_by_text("Sessions ended: 3.").wait_for()
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download as CSV").click()
        file = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
        assert waiting.value.suggested_filename.endswith(".csv")
    rows = list(csv.DictReader(io.StringIO(file, newline="")))
    assert [row["learner"] for row in rows] == ["Ada", "Zoë O'Hara"]
    assert rows[0]["run"] == "fashion_mnist-lab-1"
