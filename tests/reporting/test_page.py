"""The report: true to its data, self-contained, and without errors in a real browser."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.reporting.drawing import curves, image_address, strip
from conviction.training import EpochRow
from tests.conftest import run_cli
from tests.data import builders


def test_the_page_is_self_contained(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)[^\"']*", page)
    assert "@import" not in page
    assert "<script" not in page
    assert not re.search(r"url\((?!#)", page)
    assert len(page) < 2_000_000


def test_the_page_says_what_the_run_says(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    run = conviction.load_run(trained)
    test = run.evaluation.test
    assert f"{100 * test.accuracy:.2f}%" in page
    assert f"{100 * test.accuracy_ci95[0]:.2f}% to" in page
    cells = re.findall(r'title="(\d+) images of (\S+) were called (\S+)"', page)
    matrix = [[0] * 10 for _ in range(10)]
    for n, truth, said in cells:
        matrix[int(truth)][int(said)] = int(n)
    assert matrix == test.confusion
    wrong = page.index("Where it is wrong")
    right = (
        page.index("Labels to look at") if "Labels to look at" in page else page.index("Where it is right")
    )
    mistakes = test.n - sum(matrix[i][i] for i in range(10))
    assert page[wrong:right].count('<figure class="guess"') == min(mistakes, 24)
    assert page[page.index("Where it is right") :].count('<figure class="guess"') == 12


def test_pictures_are_the_images_themselves() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    address = image_address(pixels)
    decoded = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
    assert np.array_equal(np.asarray(decoded), pixels)
    side = strip(np.stack([pixels, pixels]))
    assert side.shape == (5, 15, 3)
    assert np.array_equal(side[:, 8:], pixels)


def test_curves_are_reproducible_and_mark_the_best_epoch() -> None:
    history = [EpochRow(i, 1 / i, 0.5, v, 0.6, 0.001) for i, v in enumerate([0.9, 0.4, 0.6], start=1)]
    svg = curves(history).svg()
    assert svg == curves(history).svg()
    assert "best: 2" in svg
    assert "currentColor" in svg
    assert curves(history[:1]).svg()  # a single epoch has curves too


@contextmanager
def opened(browser: Any, file: Path, width: int, scheme: str) -> Iterator[Any]:
    """The page, which must load without an error and without asking for anything from elsewhere."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request", lambda request: request.url.startswith(("file:", "data:")) or troubles.append(request.url)
    )
    page.goto(file.as_uri())
    assert troubles == []
    # Nothing sticks out sideways: wide tables scroll inside their own boxes.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0
    assert page.evaluate("[...document.images].filter(i => !i.alt).length") == 0
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(ink, paper) >= 7
    yield page
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser_opens_it_without_errors(browser: Any, trained: Path, width: int, scheme: str) -> None:
    with opened(browser, trained / "report.html", width, scheme) as page:
        assert "%" in page.locator("h1").inner_text()
        curve_text = page.locator(".curves svg text").first
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert curve_text.evaluate("e => getComputedStyle(e).fill") == ink


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_real_browser_shows_what_inspect_has_found(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    tree = {f"train/{name}": content for name, content in builders.files().items()}
    learned = next(iter(tree))
    tree |= {learned.replace("train/", "test/"): tree[learned]}
    for i, name in enumerate(builders.CLASSES):
        tree[f"test/{name}/new.png"] = builders.png(builders.image(i, 100 + i))
    long_name = "train/" + builders.CLASSES[0] + "/" + "a-very-long-name-" * 10 + ".png"
    tree[long_name] = b"not a picture"
    source = builders.write_tree(tmp_path / "animals", tree)
    found = conviction.inspect(str(source), html=tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html", width, scheme) as page:
        assert page.locator("h1").inner_text().split()[0] == str(len(found.audit.findings))
        shown = page.locator(".finding")
        assert shown.count() == len(found.audit.findings)
        leak = shown.filter(has_text="leak").first
        assert leak.locator("img").count() == 2
        assert learned in leak.inner_text()
        assert long_name in page.locator("main").inner_text()


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two ``rgb(r, g, b)`` colours."""

    def luminance(color: str) -> float:
        channels = [int(c) / 255 for c in re.findall(r"\d+", color)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_hovering_says_what_stands_at_the_pointer() -> None:
    history = [EpochRow(i, 1 / i, 0.5, v, 0.6, 0.001) for i, v in enumerate([0.9, 0.4, 0.6], start=1)]
    svg = curves(history).svg()
    titles = re.findall(r'<g id="tip-(\w+)-(\d)"><title>([^<]+)</title>', svg)
    assert [(name, epoch) for name, epoch, _ in titles] == [
        (n, e) for n in ("loss", "accuracy") for e in "123"
    ]
    assert titles[1][2] == "epoch 2: loss 0.5000 in training, 0.4000 in validation"


SMALL = ["training.epochs=2", "model.filters=[4]", "model.dense=[8]"]


@pytest.fixture(scope="module")
def pages(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every page that the product writes."""
    place = tmp_path_factory.mktemp("pages")
    keys = ["recipe=lab", "model.filters=[4]", "training.epochs=2", "evaluation.calibrate=true"]
    assert run_cli("fit", "digits", *keys, "--out", "run", cwd=place, home=place / "home").code == 0
    images = conviction.load_source("digits")
    for i in range(60):
        folder = place / "scans" / images.class_names[images.labels[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[i, :, :, 0]).save(folder / f"{i}.png")
    scan = next((place / "scans").rglob("*.png"))
    for arguments in (
        ["evaluate", "run", "scans", "--html", "new.html"],
        ["compare", trained, "run", "--html", "compared.html"],
        ["explain", "run", scan, "--html", "explained.html"],
        ["inspect", "digits", "--html", "inspected.html"],
        ["explore", "digits", *SMALL, "--question", "kernel", "--seeds", "2", "--out", "explored"],
        ["tune", "digits", *SMALL, "--trials", "3", "--confirm", "1", "--no-test", "--out", "tuned"],
    ):
        result = run_cli(*arguments, cwd=place, home=place / "home")
        assert result.code == 0, result.err
    made = {name: place / name / "report.html" for name in ("run", "explored", "tuned")}
    return {**made, **{p.stem: p for p in place.glob("*.html")}}


@pytest.mark.full
@pytest.mark.browser
@pytest.mark.parametrize("name", ["run", "new", "compared", "explained", "inspected", "explored", "tuned"])
def test_every_page_passes_an_accessibility_check(browser: Any, pages: dict[str, Path], name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for width, scheme in ((1200, "light"), (390, "dark")):
        with opened(browser, pages[name], width, scheme) as page:
            found = Axe().run(page).response["violations"]
            grave = [v for v in found if v["impact"] in ("serious", "critical")]
            assert not grave, [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in grave]


@pytest.mark.full
@pytest.mark.browser
def test_a_cell_of_the_matrix_opens_its_pictures(browser: Any, pages: dict[str, Path]) -> None:
    run = conviction.load_run(pages["run"].parent)
    matrix = np.array(run.evaluation.test.confusion)
    truth, said = np.unravel_index((matrix - np.diag(np.diag(matrix))).argmax(), matrix.shape)
    with opened(browser, pages["run"], 390, "light") as page:
        cell = page.locator(f"#cell-{truth}-{said}")
        assert not cell.is_visible()
        link = page.locator(f'a[href="#cell-{truth}-{said}"]')
        assert link.inner_text() == str(matrix[truth, said])
        link.focus()
        page.keyboard.press("Enter")
        assert cell.is_visible()
        assert f"{truth} called {said}: {matrix[truth, said]} image" in cell.inner_text()
        assert cell.locator("img").evaluate("i => i.naturalWidth") > 0
        page.get_by_label("percent of the row").check()
        share = 100 * matrix[truth, said] / matrix[truth].sum()
        assert link.inner_text() == f"{share:.1f}"
        cell.get_by_text("Close").click()
        assert not cell.is_visible()


@pytest.mark.full
@pytest.mark.browser
def test_in_print_everything_is_readable_and_nothing_scrolls(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["run"], 1200, "dark") as page:
        page.emulate_media(media="print", color_scheme="light")
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert contrast(ink, paper) >= 7
        assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
