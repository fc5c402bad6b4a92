"""Evaluate in layers, and two runs side by side: the figures are those of the commands, and nothing is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import made_once, run_cli
from tests.web.labs import Served, lab
from tests.web.pages import check_accessibility, opened, shoot

pytestmark = pytest.mark.browser
SMALL = ("recipe=lab", "training.epochs=1", "model.filters=[4,4]", "model.dense=[8]")


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on digits that have learned little: on the same test set as ``trained``, and on a larger one."""

    def fit(folder: Path) -> None:
        for name, more in (("weak", ()), ("other", ("data.test=0.3",))):
            done = run_cli("fit", "digits", *SMALL, *more, "--out", name, cwd=folder, home=folder / "home")
            assert done.code == 0, done.err

    return made_once(tmp_path_factory, "weak-digits", fit)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, trained: Path, weak: Path) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(trained, place / "runs" / "digits-1")
    shutil.copytree(weak / "weak", place / "runs" / "digits-2")
    shutil.copytree(weak / "other", place / "runs" / "digits-3")
    with lab(place) as one:
        yield one


def evaluate(page: Any, run: str, beside: str = "") -> None:
    page.goto(page.url.rpartition("/")[0] + "/evaluate/" + run)
    if beside:
        choice = page.get_by_role("navigation", name="Compare with another run")
        choice.get_by_role("link", name=beside).click()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_figure_comes_first_and_the_details_last(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    kept = json.loads((served.out / "digits-2" / "evaluation.json").read_text())["test"]
    with opened(browser, served.bench, width, scheme) as page:
        evaluate(page, "digits-2")
        page.get_by_text("All other figures").wait_for()
        assert page.locator(".headline b").inner_text() == f"{kept['accuracy']:.2%}"
        low, high = kept["accuracy_ci95"]
        first = page.locator(".intervals tbody tr").first
        assert first.locator("td").last.inner_text() == f"{low:.2%} to {high:.2%}"
        drawn = first.locator(".axis").bounding_box()
        point = first.locator(".axis i").bounding_box()
        assert drawn["x"] - 6 <= point["x"] <= drawn["x"] + drawn["width"]
        headings = [h for h in page.locator("main h2").all_inner_texts() if h]
        assert headings[:3] == ["On the test images", "Where it is wrong", "Which classes it confuses"]
        # An expert misses nothing.
        page.get_by_text("All other figures").click()
        for heading in ("Can its confidence be trusted?", "Class by class", "Where it is right"):
            page.get_by_role("heading", name=heading).wait_for()
        # A cell of the matrix still opens.
        wrong = page.locator(".matrix td.wrong a").first
        wrong.click()
        page.locator(".cell:target").wait_for()
        page.get_by_role("button", name="Show what spoke for its answers").click()
        page.locator(".reasons figure").first.wait_for()
        check_accessibility(page)
        shoot(page, f"evaluate-{width}-{scheme}")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_two_runs_side_by_side_are_compared_as_by_the_command(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    asked = ("compare", "digits-1", "digits-2", "--json")
    known = run_cli(*asked, cwd=served.out, home=served.out / "home").json
    pair = known["pairs"][0]
    with opened(browser, served.bench, width, scheme) as page:
        evaluate(page, "digits-2", beside="digits-1")
        page.get_by_role("heading", name="digits-2 compared with digits-1").wait_for()
        points = f"{100 * pair['difference']:+.2f} points"
        assert page.locator(".headline b").inner_text() == points
        low, high = (100 * v for v in pair["difference_ci95"])
        drawn = page.locator(".intervals").last
        assert f"{low:+.2f} to {high:+.2f} points" in drawn.inner_text()
        # It learned for one epoch against the lab's network.
        assert pair["p_value"] < 0.05
        page.get_by_text("On images like these, the network of digits-1 is better").wait_for()
        page.get_by_role(
            "img",
            name=f"digits-1 alone is right on {pair['first_only']} images, digits-2 alone on {pair['other_only']}",
        ).wait_for()
        page.get_by_role("heading", name="digits-1 is right, digits-2 is wrong").wait_for()
        assert str(served.out) not in page.content()
        check_accessibility(page)
        shoot(page, f"beside-{width}-{scheme}")


def test_what_cannot_be_compared_is_refused_in_words_of_the_page(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1280) as page:
        evaluate(page, "digits-3", beside="digits-1")
        refusal = page.locator(".message.trouble")
        refusal.wait_for()
        assert "digits-1 and digits-3 have different test sets" in refusal.inner_text()
        assert str(served.out) not in refusal.inner_text()
        assert "data.test" not in refusal.inner_text()
        # A name that is not there is no run to compare with.
        page.goto(page.url.partition("?")[0] + "?beside=digits-9")
        page.get_by_text("All other figures").wait_for()
