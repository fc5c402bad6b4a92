"""What a page gets of what a training has written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from conviction.web.jobs.queue import Jobs
from conviction.web.jobs.records import EVENTS, Job
from tests.patience import PATIENCE
from tests.web.labs import Served, lab, to
from tests.web.pages import check_accessibility, opened, shoot


@pytest.fixture
def job(tmp_path: Path) -> tuple[Jobs, Job]:
    jobs = Jobs(tmp_path)
    return jobs, jobs.submit("", "fit", ["fit", "digits"], tmp_path / "run", "Training run")


def test_lines_come_whole_and_once(job: tuple[Jobs, Job]) -> None:
    records, one = job[0].records, job[1]
    assert records.events(one, 0) == ("", 0)
    file = records.root / one.id / EVENTS
    file.write_text('{"at": 1}\n{"at": 2, "do')
    lines, after = records.events(one, 0)
    assert (lines, after) == ('{"at": 1}\n', 10)
    with file.open("a") as more:
        more.write('ing": "reading"}\n')
    assert records.events(one, after) == ('{"at": 2, "doing": "reading"}\n', file.stat().st_size)
    assert records.events(one, file.stat().st_size) == ("", file.stat().st_size)
    # From a byte that nobody was told.
    assert records.events(one, 10**9) == ("", 10**9)


def test_what_is_long_comes_in_pieces(job: tuple[Jobs, Job]) -> None:
    records, one = job[0].records, job[1]
    written = [json.dumps({"at": n}) + "\n" for n in range(1000)]
    (records.root / one.id / EVENTS).write_text("".join(written))
    got, at = "", 0
    while piece := records.events(one, at, 100)[0]:
        got, at = got + piece, at + len(piece)
    assert got == "".join(written)


def asked(client: httpx.Client, path: str, **query: Any) -> httpx.Response:
    return client.get(path, params=query)


def test_a_page_asks_for_what_is_new_of_one_job(served: Served) -> None:
    with httpx.Client(base_url=served.address, timeout=PATIENCE, trust_env=False) as client:
        run = client.post("/train-your-own").headers["location"]
        desk = run.split("/")[2]
        path = f"/lab-events/{desk}/digits-1"
        first = asked(client, path).json()
        while not first["lines"]:
            first = asked(client, path, start=first["next"], job=first["job"]).json()
        assert first["alive"]
        assert json.loads(first["lines"].splitlines()[0])["started"]
        rest = asked(client, path, start=first["next"], job=first["job"]).json()
        assert first["lines"].splitlines()[0] not in rest["lines"]
        # Of another job than the one that was watched everything is new.
        assert asked(client, path, start=10**6, job="another").json()["lines"].startswith(first["lines"])
        assert asked(client, path, start=-5, job=first["job"]).json()["lines"].startswith(first["lines"])
        for nothing in (
            f"/lab-events/{desk}/no-run",
            f"/lab-events/{desk}/.lab",
            "/lab-events/nodesk/digits-1",
        ):
            assert asked(client, nothing).status_code == 404


@pytest.mark.browser
@pytest.mark.full
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_any_moment_of_a_training_is_seen_again(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    with lab(tmp_path) as served, opened(browser, served.bench, width, scheme) as page:
        to(page, "train")
        page.get_by_role("button", name="Train this network").click()
        page.get_by_role("link", name="Next: Evaluate").wait_for()
        # What each filter makes of a picture stands below it.
        page.locator(".kernels .map").first.wait_for()
        maps, kernels = page.locator(".kernels .map"), page.locator(".kernels .kernel")
        assert maps.count() == kernels.count() > 4
        slider, words = page.get_by_label("Moment of the training"), page.locator(".again output")
        words.get_by_text("after").wait_for()  # the page has heard that it is over
        last = int(slider.get_attribute("max") or 0)
        assert last >= 1
        assert slider.input_value() == str(last)
        seen = {}
        for moment in (0, last):
            slider.fill(str(moment))
            shown = float(words.inner_text().split()[1])
            seen[moment] = (kernels.evaluate_all("all => all.map((one) => one.toDataURL()).join()"), shown)
        assert seen[0][0] != seen[last][0]
        assert 0 < seen[0][1] < seen[last][1] <= 12
        assert slider.get_attribute("aria-valuetext") == words.inner_text()
        slider.fill("0")
        page.get_by_role("button", name="Play from the start").click()
        words.get_by_text(f"after {seen[last][1]:.1f} epochs").wait_for()
        # Without being asked for, the answers to eight images of the validation set.
        page.locator(".answers li").nth(7).wait_for()
        assert page.locator(".answers li").count() == 8
        check_accessibility(page)
        shoot(page, f"again-{width}-{scheme}")
