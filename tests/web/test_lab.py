"""The whole lab in a real Chromium, against the real command in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

import conviction.lesson
from conviction.runs import open_run
from conviction.web.pages.order import STOPS
from tests.conftest import run_cli
from tests.data.builders import png
from tests.patience import PATIENCE, new_context
from tests.web.labs import Served, from_the_lab, lab, settled, to
from tests.web.pages import check_accessibility, opened, shoot

pytestmark = pytest.mark.browser


def test_the_first_page_comes_without_tensorflow(served: Served) -> None:
    page = httpx.get(served.bench, follow_redirects=True, timeout=PATIENCE, trust_env=False)
    assert page.status_code == 200
    maps = Path(f"/proc/{served.process.pid}/maps")
    if maps.exists():
        assert "tensorflow" not in maps.read_text()
    desk = str(page.url).rpartition("/")[0]
    for wrong in (
        f"{served.address}/lab/nodesk/data",
        f"{served.address}/lab/nodesk/",
        f"{desk}/trian",
        f"{desk}/train/no-run",
        f"{desk}/train/.lab",
    ):
        refused = httpx.get(wrong, timeout=PATIENCE, trust_env=False)
        assert refused.status_code == 404
        assert 'href="/lab">To the workbench' in refused.text
        assert "Traceback" not in refused.text


def test_damaged_runs_and_studies_break_no_page(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, file, text in (
        ("whole-1", "stamp", ""),
        ("no-history-1", "history.csv", ""),
        ("no-test-1", "evaluation.json", '{"validation": {}}'),
        ("empty-1", "evaluation.json", "{}"),
    ):
        shutil.copytree(Path(conviction.lesson.__file__).parent / "recorded", runs / name)
        (runs / name / file).write_text(text)
        os.utime(runs / name / "config.yaml")
    for name in ("digits-kernel-1", "digits-kernel-²"):
        (runs / "explorations" / name).mkdir(parents=True)
        (runs / "explorations" / name / "design.json").write_text('{"arms": 5}')
    with lab(tmp_path) as served, httpx.Client(timeout=PATIENCE, trust_env=False) as client:
        desk = str(client.get(served.bench, follow_redirects=True).url).rpartition("/")[0]
        for stop in STOPS:
            page = client.get(f"{desk}/{stop.name}")
            assert page.status_code == 200, (stop.name, page.text[:2000])
        for name, file in (("empty-1", "evaluation.json"), ("no-history-1", "history.csv")):
            for step in ("train", "evaluate", "take"):
                page = client.get(f"{desk}/{step}/{name}")
                assert page.status_code == 200
                assert f"{name} is damaged" in page.text
                assert f"{file}: the file is damaged" in page.text
        assert "design.json: the file is damaged" in client.get(f"{desk}/explore?question=kernel").text


def test_a_digit_that_is_no_number_in_an_address_is_passed_over(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        to(page, "data", "normalise?image=²")
        page.get_by_text("Image 1 of").wait_for()
        to(page, "network", "layers?layer=²")
        page.get_by_text("Input and normalise").wait_for()
        assert not page.locator("li.layer.open").count()


def test_others_need_the_token_that_is_printed(tmp_path: Path) -> None:
    with lab(tmp_path, "--host", "0.0.0.0") as one:
        assert "?token=" in one.link
        how: dict[str, Any] = {"timeout": 60, "trust_env": False, "follow_redirects": True}
        here = one.link.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(**how) as client:
            assert client.get(here.partition("?")[0]).status_code == 401
            entered = client.get(here)
            assert entered.status_code == 200
            assert "token" not in str(entered.url)
            assert client.get(here.partition("?")[0]).status_code == 200


def test_what_is_wrong_with_the_request_is_said_before_anything_listens(
    served: Served, tmp_path: Path
) -> None:
    (tmp_path / "course.yaml").write_text("title: A class\nchapter: [data]\n")
    for words, said in (
        (["--out", served.out], "another process is working"),
        (["--course", "course.yaml"], "Did you mean 'chapters'"),
    ):
        done = run_cli(
            "lab", "--port", "0", "--no-browser", *words, cwd=tmp_path, home=tmp_path / "home", afresh=True
        )
        assert done.code == 2, done.err
        assert said in done.err
        assert done.err.count("\n") == 1


def look_at(page: Any, step: str, part: str, name: str) -> None:
    to(page, step, part)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (step, part)
    assert page.locator("main, [role=main]").count() == 1
    shoot(page, f"lab-{step}-{part}-{name}")
    check_accessibility(page)


def test_the_page_is_readable_on_a_phone_in_the_dark(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 390, "dark") as page:
        for step, part in (("data", "normalise"), ("network", "layers"), ("train", ""), ("explore", "")):
            look_at(page, step, part, "narrow")


def test_the_lesson_is_beside_the_work_or_a_press_away(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1280) as page:
        to(page, "network")
        page.get_by_role("button", name="Up Dense").scroll_into_view_if_needed()
        lesson, work = (page.locator(one).bounding_box() for one in (".reader", ".work"))
        assert lesson["x"] >= work["x"] + work["width"]
        assert lesson["y"] <= 61  # below the head, or at the top of the window
        assert work["width"] > 600
    with opened(browser, served.bench, 390) as page:
        to(page, "network")
        button = page.get_by_role("button", name="Lesson", exact=True)
        in_sight = "document.querySelector('.chapter')?.getBoundingClientRect().top < innerHeight / 2"
        button.click()
        page.wait_for_function(in_sight)
        page.get_by_role("button", name="Hide the lesson").click()
        page.locator(".chapter").wait_for(state="detached")
        button.click()
        page.wait_for_function(in_sight)


@pytest.mark.full
def test_every_step_is_readable_on_a_wide_screen(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1440) as page:
        for stop in STOPS:
            for part in stop.parts or ("",):
                look_at(page, stop.name, part, "wide")


def test_the_data_are_followed_with_their_own_numbers(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        to(page, "data", "normalise")
        page.locator(".values").nth(1).wait_for()
        before = page.locator(".values").first.locator("td").all_inner_texts()
        after = page.locator(".values").nth(1).locator("td").all_inner_texts()
        assert len(before) == 64
        assert [f"{int(v) / 255:.3f}" for v in before] == after
        page.get_by_role("link", name="Next", exact=True).click()
        page.get_by_text("Image 2 of 1,797").wait_for()
        assert page.url.endswith("normalise?image=1")
        page.reload()
        page.get_by_text("Image 2 of 1,797").wait_for()
        to(page, "data", "split")
        page.get_by_text("sealed until the end (").wait_for()


def test_three_views_are_one_network_and_two_tabs_see_it(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        from_the_lab(page)
        to(page, "network", "yaml")
        other = page.context.new_page()
        other.goto(page.url.replace("yaml", "keras"))
        other.get_by_text("keras.Sequential").wait_for()
        text = page.get_by_label("Specification")
        text.fill("layers:\n- {type: Flatten}\n- {type: Dense, units: 7, activation: relu}\n")
        text.blur()
        other.get_by_text("layers.Dense(units=7").wait_for()
        assert "Conv2D" not in other.locator("main pre").inner_text()
        page.get_by_label("Specification").fill("layers:\n- {type: Dens}\n")
        page.get_by_label("Specification").blur()
        page.get_by_text("Did you mean 'Dense'").wait_for()
        # What was refused is still there to be mended.
        assert "Dens}" in page.get_by_label("Specification").input_value()
        page.get_by_label("Specification").fill("layers:\n- {type: Flatten}\n")
        page.get_by_label("Specification").blur()
        other.get_by_text("layers.Dense(units=7").wait_for(state="detached")
        page.get_by_text("Did you mean 'Dense'").wait_for(state="detached")
        assert page.get_by_label("Specification").input_value() == "layers:\n- {type: Flatten}\n"
        other.close()


def test_a_wrong_upload_is_said_and_a_right_one_is_used(
    browser: Any, served: Served, tmp_path: Path, image_folder: Any
) -> None:
    (tmp_path / "notes.zip").write_bytes(b"this is no archive")
    pictures = sorted(image_folder(per_class=12).rglob("*.png"))
    for name, outside in (("pets.zip", []), ("trap.zip", ["../outside.png"])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file in pictures:
                archive.write(file, file.relative_to(tmp_path / "pictures"))
            for path in outside:
                archive.writestr(path, b"x")
    context = new_context(browser)
    page = context.new_page()
    page.goto(served.bench)
    for wrong in ("notes.zip", "trap.zip"):
        page.get_by_label("An archive").set_input_files(str(tmp_path / wrong))
        page.locator(".upload [role=alert]").filter(has_text=wrong).wait_for()
        assert not list((served.out / ".lab" / "uploads").rglob(wrong))
    page.get_by_label("An archive").set_input_files(str(tmp_path / "pets.zip"))
    page.wait_for_url("**/data/load")
    page.get_by_text("24 images of 2 classes").wait_for()
    to(page, "network")
    page.get_by_text("1 unit, sigmoid").wait_for()
    context.close()
    refused = httpx.put(f"{served.address}/lab/nodesk/upload?name=a.zip", content=b"x", trust_env=False)
    assert refused.status_code == 422


def test_what_becomes_of_pictures_of_another_shape_is_chosen_at_reshape(
    browser: Any, served: Served, tmp_path: Path
) -> None:
    """And seen: the first pixel of a wide picture is black where it is padded, and white otherwise."""
    with zipfile.ZipFile(tmp_path / "wide.zip", "w") as archive:
        for i in range(24):
            pixels = np.random.default_rng(i).integers(200, 256, (30, 60 + 30 * (i % 2), 3), dtype=np.uint8)
            archive.writestr(f"{'ab'[i // 12]}/{i}.png", png(pixels))
    corner = (
        "async (image) => { await image.decode(); const c = document.createElement('canvas'); c.width = c.height = 1;"
        "const p = c.getContext('2d'); p.drawImage(image, 0, 0); return p.getImageData(0, 0, 1, 1).data[0]; }"
    )

    def look(fit: str, says: str) -> int:
        page.get_by_text(says).wait_for()
        assert page.get_by_label("Pictures of another shape").input_value() == fit
        return int(page.locator(".looking img").evaluate(corner))

    with opened(browser, served.bench) as page:
        to(page, "data")
        page.get_by_label("An archive").set_input_files(str(tmp_path / "wide.zip"))
        page.wait_for_url("**/data/load")
        to(page, "data", "audit")
        page.get_by_text("At Reshape you can choose").wait_for()
        to(page, "data", "reshape")
        assert look("stretch", "Images of another shape were stretched") > 150
        page.get_by_label("Pictures of another shape").select_option("pad")
        assert look("pad", "kept whole, with black beside them.") == 0
        check_accessibility(page)
        shoot(page, "padded")
        page.get_by_label("Pictures of another shape").select_option("crop")
        assert look("crop", "the middle was kept.") > 150
        page.get_by_role("button", name="Undo: pictures of another shape").click()
        assert look("pad", "kept whole, with black beside them.") == 0
        to(page, "network")  # where it can be undone as well
        page.get_by_role("button", name="Undo: pictures of another shape").click()
        page.get_by_role("button", name="Undo: other images").wait_for()
        to(page, "data", "reshape")
        assert look("stretch", "Images of another shape were stretched") > 150


def drop(page: Any, path: Path) -> None:
    """What a person drags from elsewhere; a script cannot make such a thing, the browser's own tools can."""
    page.locator(".upload").scroll_into_view_if_needed()
    box = page.locator(".upload").bounding_box()
    tools = page.context.new_cdp_session(page)
    at = {"x": box["x"] + 20, "y": box["y"] + box["height"] - 20}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        tools.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    tools.detach()


def test_a_folder_is_sent_as_it_is(browser: Any, served: Served, tmp_path: Path, image_folder: Any) -> None:
    pictures = image_folder(per_class=12)
    deep = pictures / "cat" / ("a-name-as-long-as-some-cameras-make-them-" * 2)
    deep.mkdir()
    for i, file in enumerate(sorted((pictures / "cat").glob("*.png"))[:3]):
        file.rename(deep / f"größer-{i}.png")
    (pictures / ".DS_Store").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", pictures)
    with opened(browser, served.bench) as page:
        to(page, "data")
        page.get_by_label("A folder").set_input_files(str(pictures))
        page.wait_for_url("**/data/load")
        page.get_by_text("24 images of 2 classes").wait_for()
        assert page.locator(".sample").all_inner_texts()[0].startswith("cat")
        chosen = page.locator(".top .about").inner_text()
        to(page, "data")
        drop(page, tmp_path / "empty")
        page.get_by_text("there is nothing in this folder").wait_for()
        drop(page, pictures)
        page.wait_for_url("**/data/load")
        page.get_by_text("24 images of 2 classes").wait_for()
        assert page.locator(".top .about").inner_text() == chosen == pictures.name
        to(page, "data")
        # The same content is one upload, whichever way it came.
        assert page.get_by_text("Your upload").count() == len(
            list((served.out / ".lab" / "uploads").rglob("*.*"))
        )
        drop(page, Path(archive))
        page.wait_for_url("**/data/load")
        page.get_by_text("pets.zip: 24 images of 2 classes").wait_for()


def test_an_upload_that_breaks_off_leaves_nothing(served: Served) -> None:
    home = httpx.get(served.bench, follow_redirects=True, timeout=PATIENCE, trust_env=False)
    host, port = served.address.removeprefix("http://").split(":")
    place = served.out / ".lab" / "uploads" / "own"

    def begun() -> list[Path]:
        return list(place.glob(".upload-*"))

    with socket.create_connection((host, int(port))) as connection:
        path = home.url.path.rpartition("/")[0]
        head = f"PUT {path}/upload?name=a.zip HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 10)
        wait_until(begun)
    wait_until(lambda: not begun())


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def train(page: Any, epochs: int) -> None:
    to(page, "compile")
    page.get_by_label("Epochs").fill(str(epochs))
    page.get_by_label("Epochs").press("Enter")
    page.get_by_label("Epochs").and_(page.locator(f"[value='{epochs}']")).wait_for()
    to(page, "train")
    page.get_by_role("button", name="Train this network").click()
    page.wait_for_url("**/train/digits-*")


@pytest.mark.full
def test_a_newcomer_walks_through_the_whole_lab(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path) as served, opened(browser, served.bench) as page:
        build(page)
        learn(page, served)
        judge(page, served, tmp_path / "home")
        ask_and_take(page, served)


def build(page: Any) -> None:
    page.get_by_role("button", name="Continue with these: Digits").click()
    for following in ("Reshape", "Normalise", "Encode", "Audit", "Split", "Build a network"):
        page.locator("[data-key=onward]").filter(has_text=following).click()
    page.get_by_role("button", name="Remove Flatten").click()
    page.get_by_text("needs a vector").wait_for()
    page.get_by_role("button", name="Put Flatten before it").click()
    page.get_by_role("button", name="Edit Conv2D (conv_1)").click()
    page.get_by_label("filters").fill("8")
    page.get_by_label("filters").press("Enter")
    page.get_by_text("8 filters 3x3, relu").wait_for()
    page.locator("[data-key=onward]").click()


def learn(page: Any, served: Served) -> None:
    train(page, 3)
    page.get_by_role("button", name="Pause").wait_for()
    shoot(page, "walk-training")
    page.locator("[data-key=onward]").filter(has_text="Evaluate").wait_for()
    run = open_run(served.out / "digits-1")
    assert run.status == "done"
    assert run.evaluation.test is None
    assert page.locator(".verdict b").inner_text().lower() == run.evaluation.overfitting.verdict
    page.locator("[data-key=onward]").click()


def judge(page: Any, served: Served, home: Path) -> None:
    page.get_by_role("heading", name="On the validation images").wait_for()
    page.get_by_role("button", name="Open the test set").click()
    page.get_by_role("heading", name="On the test images").wait_for()
    test = open_run(served.out / "digits-1").evaluation.test
    page.locator(".headline").get_by_text(f"{test.accuracy:.2%}").wait_for()
    assert len((home / "openings.jsonl").read_text().splitlines()) == 1
    cell = page.locator(".matrix td.right a").first
    cell.click()
    page.locator(".cell:target img").wait_for()
    page.get_by_role("button", name="Show what spoke for its answers").click()
    page.get_by_text("Grad-CAM at the last convolution").wait_for()
    shoot(page, "walk-evaluate")
    check_accessibility(page)
    page.locator("[data-key=onward]").filter(has_text="Try it").click()
    page.locator(".board").wait_for()
    page.locator("[data-key=onward]").filter(has_text="Look inside").click()
    page.locator(".value-of").first.wait_for()


def taken(page: Any, name: str) -> Path:
    """The file that a browser keeps when its link is pressed."""
    with page.expect_download() as download:
        page.get_by_role("link", name=name).last.click()
    return Path(download.value.path())


def ask_and_take(page: Any, served: Served) -> None:
    page.get_by_role("link", name=re.compile(r"^\d Explore$")).click()
    questions = page.get_by_role("navigation", name="Questions")
    questions.get_by_role("link", name="Which pooling?").click()
    page.get_by_text("Settings: starting point, seeds and epochs").click()
    for label, value in (("Seeds", "2"), ("Epochs", "1")):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")
    card = page.locator("#question-pooling")
    card.get_by_label("Your guess").select_option("+average pooling")
    card.get_by_role("button", name="Find out").click()
    card.get_by_text("You expected average pooling better").wait_for()
    result = json.loads((served.out / "explorations" / "digits-pooling-1" / "result.json").read_text())
    for arm in result["arms"]:
        card.get_by_text(arm["sentence"]).wait_for()
    # Base and two arms, with two seeds each: their curves, and what each came to.
    assert card.locator(".growing circle").count() == 6
    card.locator(".growing").get_by_text("average pooling: ").wait_for()
    card.get_by_role("link", name="Next question: How many convolutional layers?").wait_for()
    questions.get_by_text("answered").wait_for()
    shoot(page, "walk-explore")
    page.get_by_role("link", name=re.compile(r"^\d Take away$")).click()
    page.get_by_role("button", name="Make Script").click()
    with zipfile.ZipFile(taken(page, "script.zip")) as archive:
        assert set(archive.namelist()) == {"script/train.py", "script/split.json"}
        assert "keras.Sequential" in archive.read("script/train.py").decode()
    page.get_by_role("button", name="Make ONNX").click()
    model = onnxruntime.InferenceSession(taken(page, "model.onnx").read_bytes())
    assert len(model.get_outputs()[0].shape) == 2
    page.get_by_role("button", name="Make Notebook").click()
    with zipfile.ZipFile(taken(page, "notebook.zip")) as archive:
        assert "notebook/split.json" in archive.namelist()
        cells = json.loads(archive.read("notebook/lab.ipynb"))["cells"]
    assert any(cell.get("outputs") for cell in cells)
    page.get_by_text("A program that runs without").wait_for()
    shoot(page, "walk-take")


@pytest.mark.full
def test_closing_everything_in_mid_training_loses_nothing(browser: Any, tmp_path: Path) -> None:
    with lab(tmp_path) as served:
        with opened(browser, served.bench) as page:
            where = two_tabs_share_a_training(page)
        record = next(p for p in served.out.glob(".lab/jobs/*/job.json") if '"running"' in p.read_text())
        worker = json.loads(record.read_text())["pid"]
        served.stop()
        os.kill(worker, 0)  # still there
        with lab(tmp_path) as again, opened(browser, again.bench) as page:
            page.goto(where.replace(served.address, again.address))
            page.get_by_role("button", name="Pause").wait_for()
            os.killpg(worker, signal.SIGKILL)
            page.get_by_text("it was killed, or the machine was restarted").wait_for()
            assert len(open_run(again.out / "digits-1").epoch_rows) >= 1
            page.get_by_role("button", name="Resume").click()
            page.get_by_text("of 400 epochs, about").wait_for()
            page.get_by_role("button", name="Pause").click()
            page.get_by_text("paused").first.wait_for()


def two_tabs_share_a_training(page: Any) -> str:
    """Reloaded in its middle, paused in one tab and resumed in the other; returns its address."""
    train(page, 400)
    page.get_by_text("of 400 epochs, about").wait_for()
    where = str(page.url)
    # What is being typed stays, although the page changes every second.
    to(page, "compile")
    page.get_by_label("Batch size").fill("12")
    said = page.locator(".now").inner_text()
    page.wait_for_function("said => document.querySelector('.now').innerText !== said", arg=said)
    assert page.get_by_label("Batch size").input_value() == "12"
    page.goto(where)
    page.reload()
    page.get_by_text("of 400 epochs, about").wait_for()
    page.get_by_label("Show how it answers").check()
    page.get_by_text("of these 8 are right").wait_for()
    assert page.locator(".answers img").count() == 8
    other = page.context.new_page()
    other.goto(where)
    other.get_by_role("button", name="Pause").click()
    page.get_by_text("paused").first.wait_for()
    page.get_by_role("button", name="Resume").click()
    other.get_by_role("button", name="Pause").wait_for()
    other.get_by_text("of 400 epochs, about").wait_for()
    other.close()
    return where


@pytest.mark.full
def test_two_learners_take_turns_and_see_nothing_of_each_other(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "course.yaml").write_text(
        "title: A class\nchapters: [data, training]\nsources: [digits]\nlimits: {epochs: 5, waiting: 1}\n"
        "teacher: teacher-token\nlearners: {Ann: ann-token-1}\nclass_token: everybody\n"
    )
    with lab(tmp_path, "--course", "course.yaml") as served:
        pages = {}
        for name, token in (("Ann", "ann-token-1"), ("Bob", "everybody")):
            page = new_context(browser).new_page()
            page.goto(served.bench)
            page.get_by_label("Your name").fill(name)
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Join").click()
            if name == "Bob":
                page.get_by_role("link", name="Start").click()
            page.get_by_role("link", name="Step by step").click()
            page.get_by_role("heading", name="Data", exact=True).wait_for()
            pages[name] = page
        ann, bob = pages["Ann"], pages["Bob"]
        assert bob.goto(ann.url).status == 404
        bob.goto(served.bench)
        # No learner's code runs on the teacher's machine.
        to(bob, "exercises", "normalise")
        bob.get_by_text("In a class, this page does not run your code").wait_for()
        assert not bob.locator(".editor").count()
        bob.goto(served.bench)
        for page in (ann, bob):
            train(page, 5)
        bob.get_by_text("waiting").first.wait_for()
        assert bob.get_by_role("link", name="digits-1").count() <= 2
        bob.locator("[data-key=onward]").wait_for()
        assert (served.out / "learners" / "ann" / "digits-1").is_dir()
        assert (served.out / "learners" / "bob" / "digits-1").is_dir()
        ann.goto(ann.url.replace("train/digits-1", "compile"))
        ann.get_by_label("Epochs").fill("6")
        ann.get_by_label("Epochs").press("Enter")
        ann.get_by_role("link", name=re.compile(r"^\d Train$")).click()
        ann.get_by_role("button", name="Train this network").click()
        ann.get_by_text("the course allows at most 5").wait_for()
        teacher = new_context(browser).new_page()
        teacher.goto(served.bench)
        teacher.get_by_label("Your name").fill("The teacher")
        teacher.get_by_label("Token").fill("teacher-token")
        teacher.get_by_role("button", name="Join").click()
        teacher.get_by_text("Learners: 2. Runs: 2").wait_for()
        with teacher.expect_download() as download:
            teacher.get_by_role("button", name="Download as CSV").click()
        rows = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()[1:]
        assert [row.split(",")[:2] for row in rows] == [["Ann", "digits-1"], ["Bob", "digits-1"]]
        teacher.context.close()
        assert ann.goto(f"{served.address}/class").status == 403
        for page in pages.values():
            page.context.close()
