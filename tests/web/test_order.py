"""The steps of the lab: one object in one list gives a page its address, its place in the rail, words and chapter."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

import conviction
from conviction.errors import RequestError
from conviction.web.pages.order import STOPS, stop_named
from conviction.web.work.addresses import address
from tests.patience import PATIENCE
from tests.web.labs import lab

# A page that nothing else in the package names.
ADDED = """
from conviction.cli.main import app
from conviction.web.elements.plain import paragraph
from conviction.web.pages import order
from conviction.web.pages.frame import framed, parts_of
from conviction.web.pages.page import ChapterLink, Stop

async def build(page):
    with framed(page):
        parts_of(page)
        paragraph("What the added page shows.")

link = ChapterLink("objectives", "the added part", "second")
parts = {"first": "Part one", "second": "Part two"}
stop = Stop("added", "An added page", "objectives", build, lambda: "Its own words.", parts, links=(link,))
order.STOPS = (*order.STOPS, stop)
app()
"""


def test_a_page_that_is_added_to_the_list_is_in_the_rail_with_its_words_and_chapter(tmp_path: Path) -> None:
    with lab(tmp_path, script=ADDED) as served, httpx.Client(timeout=PATIENCE, trust_env=False) as client:
        first = client.get(served.bench, follow_redirects=True)
        desk = str(first.url).rpartition("/")[0]
        assert "An added page" in first.text
        assert f"{desk.removeprefix(served.address)}/added" in first.text
        shown = client.get(f"{desk}/added").text
        for words in (
            "Its own words.",
            "What the added page shows.",
            "Part two",
            "Objectives",
            "the added part",
        ):
            assert words in shown, words
        assert "the added part" in client.get(f"{desk}/take").text  # of the same chapter
        assert client.get(f"{desk}/added/third").status_code == 404
        assert "Parts: first, second" in client.get(f"{desk}/added/third").text


def test_only_its_own_file_and_the_list_name_a_page() -> None:
    web = Path(conviction.__file__).parent / "web"
    naming = [
        p.name
        for p in web.rglob("*.py")
        if "import take_page" in p.read_text() or "take.STOP" in p.read_text()
    ]
    assert naming == ["order.py"]


def test_what_draws_stands_apart_from_what_is_kept() -> None:
    web = Path(conviction.__file__).parent / "web"
    kept = [p for room in ("work", "jobs") for p in (web / room).rglob("*.py")]
    assert [p.name for p in kept if "nicegui" in p.read_text()] == []
    assert [p.name for p in kept if "conviction.web.elements" in p.read_text()] == []


def test_every_step_has_an_address_that_is_read_back() -> None:
    for stop in STOPS:
        for part in ("", *stop.parts):
            words = address("abc", stop.name, part, {"image": 3}).partition("?")[0].split("/")[3:]
            assert stop_named(*words) == stop
    assert address("d", "train", "a b/c") == "/lab/d/train/a%20b%2Fc"


@pytest.mark.parametrize(
    ("step", "part", "said"), [("netwrk", "", "'network'"), ("data", "normalize", "'normalise'")]
)
def test_a_wrong_address_names_the_nearest(step: str, part: str, said: str) -> None:
    with pytest.raises(RequestError, match=f"Did you mean {said}"):
        stop_named(step, part)
