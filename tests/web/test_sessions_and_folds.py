"""Sessions kept together and cross-validation: chosen on the page, shown there, and in the run."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conviction.config import FoldPlan, ImageFacts, load_recipe
from conviction.data import Audit, Split
from conviction.data.sessions import Sessions
from conviction.errors import RequestError
from conviction.runs import open_run
from conviction.web.jobs.progress import RunStatus, RunWatcher
from conviction.web.jobs.records import Job
from conviction.web.pages.running import where
from conviction.web.pages.sessions import sessions_sentence
from conviction.web.pages.train import _for_run
from conviction.web.work.desk import new_draft
from conviction.web.work.sources import Bench, Checked
from tests.conftest import run_cli
from tests.data.test_audit import scene
from tests.web.labs import Served, lab, settled, to
from tests.web.pages import check_accessibility, opened, shoot

STEP = 10
FACTS = ImageFacts(32, 32, 100, 3)


def write_pets(path: Path) -> Path:
    """A zip of two classes of 40 subjects, each eighth of which is a session: six pictures that are no near copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        number = 0
        for label, name in enumerate(("cat", "dog")):
            for k in range(40):
                for frame in wandering(100 * label + k, 1 if k % 8 else 6):
                    file = io.BytesIO()
                    frame.save(file, "PNG")
                    archive.writestr(f"{name}/frame{number:03d}.png", file.getvalue())
                    number += 1
    return path


def wandering(seed: int, count: int) -> list[Image.Image]:
    """Crops of 64x64 pixels that move to and fro over a picture."""
    whole = scene(seed)
    corners = [(STEP * (i % 3), STEP * (i // 3)) for i in range(count)]
    return [whole.crop((x, y, x + 64, y + 64)) for x, y in corners]


def checked(groups: tuple[tuple[int, ...], ...], *, left_out: int | None = None) -> Checked:
    """Ten images: 0 to 5 to learn from, 6 and 7 for validation, 8 and 9 to be tested."""
    parts = [np.array([i for i in part if i != left_out]) for part in (range(6), (6, 7), (8, 9))]
    audit = Audit((), np.arange(10), np.zeros(10, bool), Sessions(groups))
    return Checked(audit, Split(*parts, "drawn", "drawn", "hash"))


def test_the_sessions_that_a_split_divides_are_counted() -> None:
    groups = ((0, 1, 6), (2, 3), (5, 8), (4, 9))
    assert checked(groups).divided == 3
    assert checked(groups, left_out=8).divided == 2
    assert "3 of them are divided" in sessions_sentence(checked(groups), together=False)
    assert "the source brings these parts" in sessions_sentence(checked(groups), together=True)
    whole = sessions_sentence(checked(((0, 1), (2, 3))), together=True)
    assert whole == (
        "4 pictures are of 2 sessions, and no session is divided between training, validation and test."
    )
    assert "would change nothing" in sessions_sentence(checked(()), together=False)


def test_another_recipe_keeps_what_was_chosen_about_sessions_and_folds() -> None:
    draft = new_draft("lab", FACTS).with_key("data.group", "auto", FACTS)
    draft = draft.with_key("evaluation.folds", "5x2", FACTS).with_key("training.epochs", 3, FACTS)
    after = new_draft("fast", FACTS, draft)
    assert dict(after.keys) == {"data.group": "auto", "evaluation.folds": "5x2"}
    recipe = after.specification(FACTS)
    assert (recipe.data.group, recipe.evaluation.folds, recipe.evaluation.test) == ("auto", "5x2", False)
    # The trials of an experiment are compared on validation images alone.
    assert "evaluation.folds" not in after.base()
    assert after.base()["data.group"] == "auto"
    assert not draft.with_key("evaluation.folds", None, FACTS).keys.keys() & {"evaluation.folds"}


def test_folds_that_the_images_do_not_allow_are_refused_before_a_training_is_queued(tmp_path: Path) -> None:
    async def read() -> Any:
        bench, recipe = Bench(), load_recipe({"recipe": "lab"})
        source = str(write_pets(tmp_path / "pets.zip"))
        images = await bench.images(source, recipe.data)
        return images, await bench.checked(source, recipe)

    images, result = asyncio.run(read())
    draft = new_draft("lab", FACTS).with_key("evaluation.folds", "3x2", FACTS)
    assert _for_run(draft, images, result).evaluation.folds == "3x2"
    smallest = min(images.counts())
    with pytest.raises(RequestError, match="folds"):
        _for_run(draft.with_key("evaluation.folds", f"{min(100, smallest + 1)}x1", FACTS), images, result)
    with pytest.raises(RequestError, match=r"training\.batch_size: expected at most"):
        _for_run(draft.with_key("training.batch_size", 90, FACTS), images, result)


def test_pictures_are_read_once_and_split_again_when_sessions_are_kept_together(tmp_path: Path) -> None:
    source, readings = str(write_pets(tmp_path / "pets.zip")), []

    async def off_loop(function: Any, *given: Any) -> Any:
        readings.append(function.__name__)
        return function(*given)

    async def check() -> Checked:
        bench, recipe = Bench(off_loop), load_recipe({"recipe": "lab"})
        images = await bench.images(source, recipe.data)
        apart = await bench.checked(source, recipe)
        seeded = await bench.checked(source, load_recipe({"recipe": "lab", "training.seed": 1}))
        # Another seed is another split, which the page shows as the run will have it.
        assert seeded.split.test.tolist() == apart.split.test.tolist()
        assert seeded.split.validation.tolist() != apart.split.validation.tolist()
        grouped = load_recipe({"recipe": "lab", "data.group": "auto"})
        assert bench.split(source, grouped) is None
        assert bench.looks_closely(source, images, grouped)
        assert not bench.looks_closely(source, images, recipe)
        assert bench.known(source, grouped.data) is images
        return apart

    apart = asyncio.run(check())
    assert readings == ["_read", "_check", "_check"]
    assert apart.audit.sessions.groups
    assert apart.divided > 0
    assert apart.audit.likeness is None


@pytest.mark.full
def test_features_are_computed_in_another_process(tmp_path: Path) -> None:
    async def check() -> Checked:
        bench = Bench()
        recipe = load_recipe({"recipe": "transfer", "data.group": "auto"})
        try:
            return await bench.checked(str(write_pets(tmp_path / "pets.zip")), recipe)
        finally:
            bench.close()

    result = asyncio.run(check())
    assert result.audit.sessions.eyes == "features"
    assert result.divided == 0


PLAN = FoldPlan(3, 2)
JOB = Job("1", "", "fit", (), "run", "Training run", state="running")


def test_the_bar_of_a_training_has_room_for_its_folds() -> None:
    run = RunStatus(Path("run"), "unfinished", rows=(None,) * 4, epochs=4, plan=PLAN)  # type: ignore[arg-type]
    shares = [replace(run, folds=n).share(0.0) for n in range(7)]
    # 6 networks that learn from two thirds each are four times the work of the run's own.
    np.testing.assert_allclose(shares, [(1 + 4 * n / 6) / 5 for n in range(7)])
    assert replace(run, plan=None).share(0.0) == 1.0
    assert where(replace(run, folds=2), JOB, 0) == (
        "All epochs are done; now the networks of the folds, 2 of 6 done ..."
    )
    assert where(replace(run, folds=6), JOB, 0) == "All epochs are done; evaluating ..."
    assert where(replace(run, plan=None), JOB, 0) == "All epochs are done; evaluating ..."


SMALL = ("recipe=lab", "training.epochs=1", "model.filters=[4,4]", "model.dense=[8]")


@pytest.mark.full
def test_the_folds_of_a_run_are_counted_unless_they_are_of_an_earlier_training(tmp_path: Path) -> None:
    made = run_cli(
        "fit", "digits", *SMALL, "evaluation.folds=2x1", "--out", "run", cwd=tmp_path, home=tmp_path / "home"
    )
    assert made.code == 0, made.err
    run = tmp_path / "run"
    status = RunWatcher().run(run)
    assert (status.plan, status.folds) == (FoldPlan(2, 1), 2)
    (run / "model.keras").touch()
    assert RunWatcher().run(run).folds == 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    write_pets(tmp_path / "runs" / ".lab" / "uploads" / "own" / "1" / "pets.zip")
    with lab(tmp_path) as one:
        yield one


@pytest.mark.browser
@pytest.mark.full
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_sessions_and_folds_are_chosen_shown_and_trained_with(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    with opened(browser, served.bench, width, scheme) as page:
        to(page, "data", "source")
        page.get_by_role("button", name="these: pets.zip").click()
        page.wait_for_url("**/data/load*")
        settled(page)
        keep_sessions(page, f"{width}-{scheme}")
        # A network has looked at the pictures, but not in the process of the page.
        maps = Path(f"/proc/{served.process.pid}/maps")
        assert not maps.exists() or "tensorflow" not in maps.read_text()
        turn_off_and_on(page, f"{width}-{scheme}")
        to(page, "network")
        page.get_by_role("button", name="Start again from the recipe lab").click()
        choose_folds(page, f"{width}-{scheme}")
        if width < 1000:  # it trains the same
            return
        to(page, "train")
        page.get_by_role("button", name="Train this network").click()
        page.wait_for_url("**/train/pets-*")
        name = page.url.rpartition("/")[2]
        page.locator(".pill", has_text="done").first.wait_for()
        recipe = open_run(served.out / name).config
        assert (recipe.data.group, recipe.evaluation.folds) == ("auto", "5x1")
        to(page, "evaluate", name)
        page.get_by_role("rowheader", name="cross-validation").first.wait_for()
        page.get_by_text("What the verdict rests on").click()
        page.get_by_text("Cross-validation (5 folds)").wait_for()
        assert page.get_by_text("choose Cross-validation").count() == 0
        shoot(page, f"evaluate-folds-{width}-{scheme}")
        check_accessibility(page)


def keep_sessions(page: Any, name: str) -> None:
    """The audit finds sessions, and its finding has the button."""
    to(page, "data", "audit")
    finding = page.locator(".finding", has_text="seem to be of")
    assert "WARNING" in finding.inner_text().upper()
    assert "Keep pictures of one session together" in finding.inner_text()
    shoot(page, f"audit-sessions-{name}")
    check_accessibility(page)
    page.get_by_role("button", name="Keep each session in one part").click()
    page.get_by_text("Undo: sessions kept together").wait_for()
    finding.get_by_text("Each session stays in one part").wait_for()
    assert "by what a network that has learned on other photographs sees" in finding.inner_text()
    assert page.get_by_role("button", name="Keep each session in one part").count() == 0
    shoot(page, f"audit-together-{name}")


def turn_off_and_on(page: Any, name: str) -> None:
    """The box at Split, what it says, and that a reload changes nothing."""
    to(page, "data", "split")
    box = page.get_by_label("Keep pictures of one session together")
    page.get_by_text("no session is divided between").wait_for()
    assert box.is_checked()
    page.get_by_text("so do the sessions that the audit found").wait_for()
    shoot(page, f"split-together-{name}")
    check_accessibility(page)
    box.click()
    page.get_by_text("of them are divided between").wait_for()
    assert not box.is_checked()
    shoot(page, f"split-divided-{name}")
    page.get_by_role("button", name="Undo: sessions kept together").click()
    page.get_by_text("no session is divided between").wait_for()
    page.reload()
    page.get_by_text("no session is divided between").wait_for()
    assert box.is_checked()


def choose_folds(page: Any, name: str) -> None:
    """Cross-validation is offered with the reason, and says what it takes."""
    to(page, "compile")
    page.get_by_text("The test set has only").wait_for()
    page.get_by_label("Cross-validation").select_option("5x1")
    page.get_by_text("After that, 5 more networks are trained").wait_for()
    page.get_by_label("Epochs").fill("2")
    page.get_by_label("Epochs").press("Enter")
    page.get_by_text("Undo: epochs").wait_for()
    page.reload()
    page.get_by_text("After that, 5 more networks are trained").wait_for()
    assert page.get_by_label("Cross-validation").input_value() == "5x1"
    shoot(page, f"compile-folds-{name}")
    check_accessibility(page)
