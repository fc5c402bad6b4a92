"""The list of runs: what was changed since the one before, notes, names, and deleting with a way back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.config import Recipe, load_recipe
from conviction.data import ImageSet, Split, load_source
from conviction.errors import RequestError, RunError
from conviction.runs import folder, open_run
from conviction.runs.notes import read_note, write_note
from conviction.web.jobs.helper import Helper
from conviction.web.jobs.progress import RunWatcher
from conviction.web.jobs.queue import Jobs
from conviction.web.jobs.records import Job, State
from conviction.web.work.desk import Desks
from conviction.web.work.lab import Lab
from conviction.web.work.own_runs import bring_back, delete_run, deleted_runs, discard, rename_run
from conviction.web.work.since import RequestedRun, requested_runs, since_the_one_before, twin_of
from conviction.web.work.sources import Bench
from conviction.web.work.uploads import sources_of
from tests.conftest import made_once, run_cli
from tests.web.labs import Served, lab, to
from tests.web.pages import check_accessibility, opened, shoot

SMALL = ("recipe=lab", "training.epochs=1", "model.filters=[4,4]", "model.dense=[8]", "evaluation.test=false")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs on digits: the second has another rate and a dropout, the third is the second again."""

    def fit(folder: Path) -> None:
        changed = ("training.learning_rate=0.01", "model.dropout=0.3")
        for at, (name, more) in enumerate((("digits-1", ()), ("digits-2", changed), ("digits-3", changed))):
            done = run_cli("fit", "digits", *SMALL, *more, "--out", name, cwd=folder, home=folder / "home")
            assert done.code == 0, done.err
            for file in ("config.yaml", "data.json"):
                os.utime(folder / name / file, (at, at))

    return made_once(tmp_path_factory, "three-runs", fit)


def copied(three: Path, out: Path) -> Path:
    for name in ("digits-1", "digits-2", "digits-3"):
        shutil.copytree(three / name, out / name)
    return out


@pytest.fixture
def bench(three: Path, tmp_path: Path) -> Lab:
    (tmp_path / "jobs").mkdir()
    out = copied(three, tmp_path / "runs")
    return Lab(out, Jobs(tmp_path / "jobs"), Desks(tmp_path), Bench(), Helper())


def test_what_was_changed_since_the_run_before(bench: Lab) -> None:
    since = since_the_one_before(bench.runs(""))
    assert set(since) == {"digits-2", "digits-3"}
    words = since["digits-2"].words
    assert words[0] == "learning rate changed from 0.001 to 0.01"
    assert len(words) > 1
    assert all(line.startswith("+ Dropout 0.3 after") for line in words[1:])
    assert not since["digits-2"].repeated
    assert (since["digits-3"].name, since["digits-3"].words, since["digits-3"].repeated) == (
        "digits-2",
        [],
        True,
    )
    # The same request with other figures, as of another machine, is no repetition.
    other = [replace(run, rows=(replace(run.rows[0], loss=9.0),)) for run in bench.runs("")[:1]]
    again = since_the_one_before([*other, *bench.runs("")[1:]])["digits-3"]
    assert (again.words, again.repeated) == ([], False)


def test_a_damaged_run_is_left_out_and_the_others_are_not(bench: Lab) -> None:
    (bench.out / "digits-2" / "config.yaml").write_text("model: [")
    known = since_the_one_before(bench.runs(""))
    assert "digits-2" not in known
    assert known["digits-3"].name == "digits-1"


async def read(recipe: Recipe) -> tuple[ImageSet, Split]:
    """As the page does before a training."""
    bench = Bench()
    images = await bench.images("digits", recipe.data)
    return images, (await bench.checked("digits", recipe)).split


def test_a_training_that_would_repeat_a_run_is_known(three: Path, tmp_path: Path) -> None:
    recipe = load_recipe([*SMALL])
    file, other = tmp_path / "asked.yaml", tmp_path / "other.yaml"
    file.write_text(recipe.to_yaml())
    other.write_text(load_recipe([*SMALL, "model.dropout=0.3"]).to_yaml())
    statuses = [RunWatcher().run(three / f"digits-{n}") for n in (3, 2, 1)]
    runs = [RequestedRun(run, path) for run, path in zip(statuses, (other, other, file), strict=True)]
    images, split = asyncio.run(read(recipe))
    assert twin_of(recipe, images, split, runs) == "digits-1"
    # Whatever is asked for differently makes another run of it, also what is left open: a seed, a layer, sessions.
    for key in (
        *("training.seed=1", "training.epochs=2", "model.filters=[4,5]", "data.test=0.3", "data.group=auto"),
        *("training.learning_rate=auto", "training.threads=1", "augmentation.flip=auto"),
    ):
        kept = [pair for pair in SMALL if pair.partition("=")[0] != key.partition("=")[0]]
        assert not twin_of(load_recipe([*kept, key]), images, split, runs), key
    # So do other images, other labels and another size.
    fewer = replace(split, train=split.train[:-1])
    assert not twin_of(recipe, images, fewer, runs)
    labels = images.labels.copy()
    labels[0] = (labels[0] + 1) % 10
    assert not twin_of(recipe, replace(images, labels=labels), split, runs)
    smaller = load_recipe([*SMALL, "data.image_size=[16,16]"])
    assert not twin_of(recipe, load_source("digits", smaller.data), split, runs)
    # What has not ended has not come out in any way; what was continued has come another way; nobody knows the rest.
    unfinished = [
        RequestedRun(replace(run, status="interrupted"), path) for run, path in [(statuses[2], file)]
    ]
    assert not twin_of(recipe, images, split, unfinished)
    shutil.copytree(three / "digits-1", tmp_path / "continued")
    (tmp_path / "continued" / "evaluation-after-1-epochs.json").write_text("{}")
    continued = [RequestedRun(RunWatcher().run(tmp_path / "continued"), file)]
    assert not twin_of(recipe, images, split, continued)
    assert not twin_of(recipe, images, split, [RequestedRun(statuses[2], tmp_path / "none.yaml")])


@pytest.mark.parametrize(
    ("state", "counts"),
    # A run is finished before its process has ended; a paused one may have been continued with more epochs.
    [("running", True), ("done", True), ("paused", False), ("failed", False), ("waiting", False)],
)
def test_what_was_asked_for_is_known_while_the_process_still_ends(
    three: Path, state: State, counts: bool
) -> None:
    run = RunWatcher().run(three / "digits-1")
    argv = ("fit", "digits", "--config", "asked.yaml", "--out", str(run.path))
    job = Job("1", "", "fit", argv, str(run.path), "Training digits-1", state=state)
    other = replace(job, folder=str(three / "elsewhere"))
    assert requested_runs([run], [job, other]) == [RequestedRun(run, Path("asked.yaml"))] * counts


def test_a_run_is_renamed_with_what_is_known_about_it(bench: Lab, three: Path) -> None:
    write_note(bench.out / "digits-1", "the first")
    job = bench.jobs.submit("", "evaluate", ["evaluate", "x"], bench.out / "digits-1", "x")
    with pytest.raises(RequestError, match="still working on digits-1"):
        rename_run(bench, "", "digits-1", "plain")
    bench.jobs.end("", job.id, "stopped")
    rename_run(bench, "", "digits-1", "plain, ünï")
    path = bench.out / "plain, ünï"
    assert read_note(path) == "the first"
    last = bench.jobs.last_at(path)
    assert last is not None
    assert last.id == job.id
    # After a restart of the server as well.
    again = Jobs(bench.jobs.records.root)
    again.read()
    assert again.last_at(path) is not None
    assert [run.path.name for run in bench.runs("")] == ["digits-3", "digits-2", "plain, ünï"]
    np.testing.assert_array_equal(
        open_run(path).epoch_rows[0].loss, open_run(three / "digits-1").epoch_rows[0].loss
    )


@pytest.mark.parametrize(
    "name",
    [
        "digits-2",
        "explorations",
        "learners",
        "learning.json",
        "",
        "..",
        ".lab",
        "a/b",
        "a\\b",
        "x\n",
        "ü" * 101,
    ],
)
def test_a_name_that_is_none_or_taken_is_refused(bench: Lab, name: str) -> None:
    before = sorted(bench.out.rglob("*"))
    with pytest.raises(RequestError):
        rename_run(bench, "", "digits-1", name)
    assert sorted(bench.out.rglob("*")) == before


def test_what_another_process_works_on_stays(bench: Lab) -> None:
    with folder.claimed(bench.out / "digits-1"):
        for act in (
            lambda: rename_run(bench, "", "digits-1", "x"),
            lambda: delete_run(bench, "", "digits-1"),
        ):
            with pytest.raises(RunError, match="another process is working"):
                act()
    assert (bench.out / "digits-1").is_dir()
    assert not deleted_runs(bench, "")


def test_a_continued_run_is_as_old_as_before(bench: Lab) -> None:
    os.utime(bench.out / "digits-1" / "config.yaml")  # as `resume` writes it
    since = since_the_one_before(bench.runs(""))
    assert {name: one.name for name, one in since.items()} == {"digits-2": "digits-1", "digits-3": "digits-2"}


def test_layers_that_differ_in_what_they_do_not_show_are_not_the_same(bench: Lab) -> None:
    file = bench.out / "digits-3" / "config.yaml"
    text = file.read_text()
    assert "use_bias: true" in text
    file.write_text(text.replace("use_bias: true", "use_bias: false", 1))
    words = since_the_one_before(bench.runs(""))["digits-3"].words
    assert words == ["the layers are the same but for details, such as their bias or their first weights"]


def test_a_deleted_run_is_brought_back_or_gone_for_good(bench: Lab) -> None:
    job = bench.jobs.submit("", "evaluate", ["evaluate", "x"], bench.out / "digits-2", "x")
    bench.jobs.end("", job.id, "stopped")
    before = {p: p.read_bytes() for p in (bench.out / "digits-2").rglob("*") if p.is_file()}
    delete_run(bench, "", "digits-2")
    assert [run.path.name for run in bench.runs("")] == ["digits-3", "digits-1"]
    (deleted,) = deleted_runs(bench, "")
    assert deleted.name == "digits-2"
    assert bring_back(bench, "", deleted) == "digits-2"
    # With what its process has written.
    assert bench.jobs.last_at(bench.out / "digits-2") is not None
    assert {p: p.read_bytes() for p in (bench.out / "digits-2").rglob("*") if p.is_file()} == before
    assert not deleted_runs(bench, "")
    # Another run may have its name by then.
    delete_run(bench, "", "digits-2")
    rename_run(bench, "", "digits-3", "digits-2")
    assert bring_back(bench, "", deleted_runs(bench, "")[0]) == "digits-2-1"
    delete_run(bench, "", "digits-2")
    delete_run(bench, "", "digits-1")
    assert [run.name for run in deleted_runs(bench, "")] == ["digits-1", "digits-2"]
    # The images of what can be brought back are still needed.
    shutil.rmtree(bench.out / "digits-2-1")
    assert sources_of(bench.out, []) == {"digits"}
    for run in deleted_runs(bench, ""):
        discard(bench, run)
    assert sources_of(bench.out, []) == set()
    assert [p for p in bench.out.rglob("*") if p.is_file()] == []


def test_a_run_of_one_owner_is_not_in_reach_of_another(bench: Lab) -> None:
    with pytest.raises(RequestError):
        rename_run(bench, "ada", "digits-1", "mine")
    delete_run(bench, "ada", "digits-1")
    assert (bench.out / "digits-1").is_dir()
    assert deleted_runs(bench, "ada") == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, three: Path) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("lab")
    copied(three, place / "runs")
    with lab(place) as one:
        yield one


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme", "note"), [(1280, "light", "wilder"), (390, "dark", "tamer")])
def test_the_list_says_what_was_changed_and_takes_changes(
    browser: Any, served: Served, width: int, scheme: str, note: str
) -> None:
    with opened(browser, served.bench, width, scheme) as page:
        to(page, "train", "digits-2")
        rows = page.locator(".runs").first.locator("li")
        second = rows.filter(has=page.get_by_role("link", name="digits-2", exact=True))
        second.get_by_text("Compared with digits-1: learning rate changed from 0.001 to 0.01").wait_for()
        assert (
            second.get_by_role("link", name="Did it help?")
            .get_attribute("href")
            .endswith("/evaluate/digits-2?beside=digits-1")
        )
        rows.first.get_by_text(
            "This repeats digits-2: network, settings and seed are the same, and so are the curves."
        ).wait_for()
        page.get_by_role("button", name="Edit digits-2").click()
        page.get_by_label("Note").fill(note)
        page.keyboard.press("Enter")
        second.get_by_text(note).wait_for()
        assert read_note(served.out / "digits-2") == note
        listed = run_cli("runs", ".", "--json", cwd=served.out, home=served.out / "home").json["runs"]
        assert note in [row.get("note") for row in listed]
        # A name that is taken is refused at the page, and nothing has happened.
        page.get_by_label("Name").fill("digits-3")
        page.keyboard.press("Enter")
        page.get_by_text("The name digits-3 is taken").wait_for()
        check_accessibility(page)
        shoot(page, f"runs-{width}-{scheme}")
        # The run that the page is about: its new name is in the address.
        page.get_by_label("Name").fill("wild")
        page.keyboard.press("Enter")
        page.wait_for_url("**/train/wild")
        page.get_by_role("button", name="Edit wild").click()
        page.get_by_role("button", name="Delete wild", exact=True).click()
        page.wait_for_url(lambda url: url.endswith("/train"))
        page.get_by_role("button", name="Bring wild back").click()
        page.get_by_role("link", name="wild", exact=True).wait_for()
        page.get_by_role("button", name="Edit wild").click()
        page.get_by_label("Name").fill("digits-2")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="digits-2", exact=True).wait_for()
        assert json.loads((served.out / "digits-2" / "evaluation.json").read_text())


@pytest.mark.browser
@pytest.mark.full
def test_a_training_that_would_repeat_a_run_is_not_started_unasked(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path) as served, opened(browser, served.bench) as page:
        to(page, "compile")
        page.get_by_label("Epochs").fill("1")
        page.keyboard.press("Tab")
        to(page, "train")
        start = page.get_by_role("button", name="Train this network")
        start.click()
        page.wait_for_url("**/train/digits-1")
        page.get_by_role("link", name="Next: Evaluate").wait_for()
        start.click()
        page.get_by_text("digits-1 was trained on the same images, with this network").wait_for()
        check_accessibility(page)
        assert not (served.out / "digits-2").exists()
        page.get_by_role("button", name="Train with another seed").click()
        page.wait_for_url("**/train/digits-2")
        page.get_by_role("link", name="Next: Evaluate").wait_for()
        page.get_by_text("Compared with digits-1: seed changed from 0 to 1.").wait_for()
        start.click()
        page.get_by_role("button", name="Train again anyway").click()
        page.wait_for_url("**/train/digits-3")
        page.get_by_role("link", name="Next: Evaluate").wait_for()
        page.get_by_text("This repeats digits-2").wait_for()
        # It was said that they would be the same bits.
        one, other = (open_run(served.out / name).model.get_weights() for name in ("digits-2", "digits-3"))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
