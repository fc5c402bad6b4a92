"""Desks, their addresses and files, what stands where; without a browser."""

from __future__ import annotations

import asyncio
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from conviction.config import DataSpec, ImageFacts, load_recipe
from conviction.config.layer_edits import remove
from conviction.errors import RequestError, SourceError
from conviction.runs import folder
from conviction.training import EpochRow, EpochTiming
from conviction.web.app import file_to_take, zipped
from conviction.web.classroom import load_course
from conviction.web.door.gate import COOKIE, OWNER, Gate, one_token
from conviction.web.door.sessions import BrowserSessions, digest
from conviction.web.door.tries import MOST_WRONG
from conviction.web.jobs.helper import Helper
from conviction.web.jobs.progress import RunWatcher, state_of
from conviction.web.jobs.queue import Jobs
from conviction.web.jobs.starts import next_name, run_folder, start_explore, start_fit, start_resume, stem_of
from conviction.web.work import uploads
from conviction.web.work.desk import Desks, new_draft
from conviction.web.work.lab import Lab
from conviction.web.work.sources import Bench

FACTS = ImageFacts(32, 32, 1300)


def test_undo_goes_back_and_redo_forward(tmp_path: Path) -> None:
    desk = Desks(tmp_path).new("")
    first = new_draft("lab", FACTS)
    desk.draft = first
    second = first.with_key("training.epochs", 3, FACTS)
    third = type(second)(second.recipe, remove(second.layers, 0), second.keys)
    assert desk.change(second)
    assert desk.change(third)
    assert not desk.change(third)
    assert desk.undo()
    assert desk.draft == second
    assert desk.undo()
    assert desk.draft == first
    assert not desk.undo()
    assert desk.redo()
    assert desk.draft == second
    desk.change(first)
    assert not desk.redo()


def test_undo_brings_back_other_images_with_what_was_built_for_them(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    desk = desks.new("")
    desk.draft = first = new_draft("lab", FACTS)
    desk.change(first.with_key("training.epochs", 3, FACTS))
    built = desk.draft
    desk.choose("mnist")
    assert desk.draft is None
    desk.draft = new_draft("lab", FACTS)  # as the page begins it
    desks.keep(desk)
    again = Desks(tmp_path).get("", desk.id)
    assert again.undo()
    assert (again.source, again.draft) == ("digits", built)
    assert again.undo()
    assert (again.source, again.draft) == ("digits", first)
    assert again.redo()
    assert again.redo()
    assert (again.source, again.draft) == ("mnist", first)


def test_how_images_are_decoded_is_part_of_what_is_built(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    desk = desks.new("")
    assert desk.data.fit == "stretch"
    desk.draft = first = new_draft("lab", FACTS)
    desk.change(first.with_key("data.fit", "pad", FACTS))
    desks.keep(desk)
    again = Desks(tmp_path).get("", desk.id)
    assert again.draft is not None
    assert again.data == again.draft.specification(FACTS).data == desk.data
    assert (again.data.fit, again.draft.base()["data.fit"]) == ("pad", "pad")
    assert again.undo()
    assert again.data.fit == "stretch"
    with pytest.raises(RequestError, match="Did you mean 'pad'"):
        first.with_key("data.fit", "padd", FACTS)


def test_a_desk_is_written_in_the_order_of_its_changes(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    desk = desks.new("")

    async def change() -> None:
        writing = []
        for i in range(20):
            desk.kept["n"] = i
            writing.append(asyncio.ensure_future(desks.keep_beside(desk)))
            await asyncio.sleep(0)
        desk.kept["n"] = "last"
        desks.keep(desk)
        await asyncio.gather(*writing)

    asyncio.run(change())
    assert Desks(tmp_path).get("", desk.id).kept == {"n": "last"}


def test_a_desk_is_the_same_after_a_restart_and_nobody_elses(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    desk = desks.new("ann")
    desk.draft = new_draft("lab", FACTS)
    desk.change(desk.draft.with_key("training.epochs", 3, FACTS))
    desk.guesses["kernel"] = "+5x5 kernels"
    desks.keep(desk)
    again = Desks(tmp_path)
    assert again.get("ann", desk.id) == desk
    assert again.newest("ann").id == desk.id
    with pytest.raises(RequestError, match="no desk"):
        again.get("bob", desk.id)
    assert again.newest("bob").id != desk.id
    with pytest.raises(RequestError, match="no desk"):
        again.get("ann", "../desk")


@pytest.mark.parametrize(
    "wrong",
    [
        '{"id": "0123456789"',
        "[" * 100_000,
        "[]",
        {"keys": {"training.epochs": "many"}},
        {"keys": {"training.epoch": 3}},
        {"keys": [1]},
        {"keys": 5},
        {"recipe": ["lab"]},
        {"layers": 3},
    ],
)
def test_a_damaged_desk_is_no_crash(tmp_path: Path, wrong: Any) -> None:
    desk = Desks(tmp_path).new("")
    desk.draft = new_draft("lab", FACTS)
    values = desk.to_json()
    if not isinstance(wrong, str):
        values["draft"].update(wrong)
        wrong = json.dumps(values)
    (tmp_path / f"{desk.id}.json").write_text(wrong)
    desks = Desks(tmp_path)
    with pytest.raises(RequestError, match="damaged"):
        desks.get("", desk.id)
    assert desks.newest("").id != desk.id


@pytest.mark.parametrize(
    "wrong",
    [{"guesses": []}, {"kept": 3}, {"source": None}, {"revision": "1"}, {"undone": [3]}, {"id": "other"}],
)
def test_a_desk_with_a_wrong_value_is_damaged(tmp_path: Path, wrong: dict[str, Any]) -> None:
    desk = Desks(tmp_path).new("")
    (tmp_path / f"{desk.id}.json").write_text(json.dumps({**desk.to_json(), **wrong}))
    with pytest.raises(RequestError, match="damaged"):
        Desks(tmp_path).get("", desk.id)


def test_an_exploration_starts_from_what_was_built(tmp_path: Path) -> None:
    draft = new_draft("lab", FACTS)
    assert draft.base() == {"recipe": "lab"}  # whose arms have the names that the lesson has
    changed = draft.with_key("training.epochs", 3, FACTS).with_key("training.optimizer", "sgd", FACTS)
    changed = type(changed)(changed.recipe, remove(changed.layers, 0), changed.keys)
    (tmp_path / "jobs").mkdir()
    job = start_explore(
        Jobs(tmp_path / "jobs"),
        "",
        "digits",
        "kernel",
        tmp_path / "study",
        seeds=2,
        epochs=1,
        budget=None,
        base=changed.base(),
    )
    words = [word for word in job.argv[2:] if "=" in word]
    # As the command line reads them, they are the same network and settings, but for the epochs.
    read = load_recipe(words, facts=FACTS)
    assert read.model.layers == changed.layers
    assert (read.training.optimizer, read.training.epochs) == ("sgd", 1)


def test_a_claim_is_tested_with_as_many_images_as_it_was_measured_with(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    job = start_explore(
        Jobs(tmp_path / "jobs"),
        "",
        "digits",
        "one-block",
        tmp_path / "study",
        seeds=2,
        epochs=20,
        budget=None,
        base={"recipe": "lab"},
        claim=True,
    )
    at = job.argv.index("--claim")
    assert job.argv[at + 1] == "one-block"
    assert "--question" not in job.argv
    assert "--budget" not in job.argv


def test_a_draft_keeps_only_what_differs_and_leaves_the_test_set_sealed() -> None:
    draft = new_draft("lab", FACTS)
    changed = draft.with_key("training.epochs", 3, FACTS)
    assert changed.keys == {"training.epochs": 3}
    assert changed.with_key("training.epochs", 12, FACTS) == draft
    recipe = changed.specification(FACTS)
    assert recipe.training.epochs == 3
    assert recipe.evaluation.test is False
    with pytest.raises(RequestError, match=r"training\.epochs"):
        draft.with_key("training.epochs", 0, FACTS)


def test_a_standing_is_read_at_most_once_a_second(tmp_path: Path) -> None:
    now = [0.0]
    watcher = RunWatcher(lambda: now[0])
    recipe = new_draft("lab", FACTS).with_key("training.epochs", 4, FACTS).specification(FACTS)
    assert watcher.run(tmp_path / "none").epochs == 0
    run = tmp_path / "run"
    run.mkdir()
    (run / folder.CONFIG).write_text(recipe.to_yaml())
    (run / folder.DATA).write_text(
        json.dumps(
            {
                "source": "pets",
                "class_names": ["a", "b"],
                "counts": {"train": [450, 450], "validation": [50, 50], "test": [100, 100]},
                "decoding": {"color_mode": "rgb", "height": 32, "width": 32},
            }
        )
    )
    rows = [EpochRow(i, 1.0 / i, 0.5, 1.1 / i, 0.5, 0.001) for i in (1, 2, 3)]
    timing = [EpochTiming(i, 3.0, 1.0, 100.0) for i in (1, 2, 3)]
    columns = list(EpochRow.__annotations__)
    folder.write_rows(run / folder.HISTORY, rows[:1], columns)
    first = watcher.run(run)
    assert (len(first.rows), first.epochs, first.status) == (1, 4, "unfinished")
    assert first.verdict is None  # too early to say
    folder.write_rows(run / folder.HISTORY, rows, columns)
    folder.write_rows(run / folder.TIMING, timing, list(EpochTiming.__annotations__))
    assert watcher.run(run) is first
    now[0] = 1.5
    second = watcher.run(run)
    assert len(second.rows) == 3
    assert second.seconds == 4.0
    assert second.verdict is not None
    assert second.share(second.since) == 0.75
    assert second.share(second.since + 2) == pytest.approx(0.875)
    assert second.share(second.since + 1e6) < 1.0
    now[0] = 3.0
    assert watcher.run(run) is second


def test_runs_get_names_that_are_free(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    jobs = Jobs(tmp_path / "jobs")
    assert stem_of("/data/My Flowers.tar.gz") == "My-Flowers"
    (tmp_path / "digits-1").mkdir()
    recipe = new_draft("lab", FACTS).specification(FACTS)
    name = next_name(tmp_path, "digits", jobs)
    assert name == "digits-2"
    job = start_fit(jobs, "", "digits", recipe, tmp_path / name, configs=tmp_path)
    assert next_name(tmp_path, "digits", jobs) == "digits-3"
    assert job.argv[:2] == ("fit", "digits")
    jobs.end("", job.id, "stopped")
    # It never had a run folder, so it begins anew instead of going on.
    again = start_resume(jobs, "", tmp_path / name)
    assert again.argv == job.argv
    jobs.end("", again.id, "paused")
    # Nor does it lose its name, or its place in the list.
    assert next_name(tmp_path, "digits", jobs) == "digits-3"
    bench = Lab(tmp_path, jobs, Desks(tmp_path), Bench(), Helper())
    assert [state_of(s, jobs.last_at(s.path)) for s in bench.runs("")] == ["paused"]
    for wrong in ("../x", "..", ".lab", "", "a/b", "a\\b", "a\n", "a\0", "ü" * 101):
        with pytest.raises(RequestError):
            run_folder(tmp_path, wrong)
    for name in ("my run", "ünï", "x" * 200):  # as `fit --out` makes them
        assert run_folder(tmp_path, name) == tmp_path / name


def test_only_files_of_runs_can_be_taken_away(tmp_path: Path) -> None:
    run = tmp_path / "digits-1"
    (run / "exports" / "script").mkdir(parents=True)
    (tmp_path / ".lab").mkdir()
    for name in (
        "report.html",
        "predictions.npz",
        "exports/model.onnx",
        "exports/script/train.py",
        "exports/.hidden",
    ):
        (run / name).write_text("x")
    (tmp_path / ".lab" / "report.html").write_text("x")
    os.symlink("/etc/passwd", run / "exports" / "link")
    for path in ("digits-1/report.html", "digits-1/exports/model.onnx", "digits-1/exports/script/train.py"):
        assert file_to_take(tmp_path, path).is_file()
    (run / "exports" / "script" / "split.json").write_text("{}")
    (run / "exports" / "script" / "link").symlink_to("/etc/passwd")
    whole = file_to_take(tmp_path, "digits-1/exports/script.zip")
    with zipfile.ZipFile(io.BytesIO(zipped(whole))) as archive:
        assert archive.namelist() == ["script/split.json", "script/train.py"]
    for path in (
        "digits-1/predictions.npz",
        "digits-1/exports/.hidden",
        "digits-1/exports/../predictions.npz",
        "digits-1/exports/link",
        "digits-1/exports/none.zip",
        "digits-1/exports/..zip",
        "digits-1/exports/.hidden.zip",
        "digits-1/exports.zip",
        "explorations/digits-1/exports.zip",
        ".lab/report.html",
        "../report.html",
        "/etc/passwd",
        "",
        f"digits-1/exports/{'a' * 5000}",
        f"digits-1/exports/{'a/' * 3000}b",
        "digits-1/exports/a\0b",
    ):
        with pytest.raises(RequestError):
            file_to_take(tmp_path, path)


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def receive(
    root: Path, name: str, *parts: bytes, owner: str = "", needed: Collection[str] = (), refused: bool = False
) -> Path:
    async def call() -> Path:
        async with uploads.arriving(_chunks(*parts), name, root, owner, lambda: needed) as path:
            assert path not in uploads.uploads_of(root, owner)
            if refused:
                raise SourceError("planted")
        return path

    return asyncio.run(call())


def test_an_upload_is_kept_under_its_content_and_old_ones_make_room(tmp_path: Path) -> None:
    first = receive(tmp_path, "../../My pictures.zip", b"ab", b"c")
    assert first.read_bytes() == b"abc"
    assert first.name == "My-pictures.zip"
    assert first.is_relative_to(tmp_path)
    assert receive(tmp_path, "My pictures.zip", b"abc") == first
    for i in range(uploads.MOST_KEPT + 2):
        receive(tmp_path, "more.zip", bytes([i]))
    assert len(uploads.uploads_of(tmp_path, "")) == uploads.MOST_KEPT
    assert len(list((tmp_path / "own").iterdir())) == uploads.MOST_KEPT
    assert uploads.uploads_of(tmp_path, "ann") == []


def test_what_is_needed_or_refused_pushes_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_KEPT", 2)
    one, two = (receive(tmp_path, f"{name}.zip", name.encode()) for name in ("one", "two"))
    for i in range(5):
        with pytest.raises(SourceError, match="planted"):
            receive(tmp_path, "junk.zip", bytes([i]), refused=True)
    # One that was found good before stays, whatever is said of it now.
    with pytest.raises(SourceError, match="planted"):
        receive(tmp_path, "one.zip", b"one", refused=True)
    assert set(uploads.uploads_of(tmp_path, "")) == {one, two}
    assert len(list((tmp_path / "own").iterdir())) == 2
    three = receive(tmp_path, "three.zip", b"three", needed={str(one)})
    assert set(uploads.uploads_of(tmp_path, "")) == {one, three}
    with pytest.raises(SourceError, match="in use"):
        receive(tmp_path, "four.zip", b"four", needed={str(one), str(three)})
    assert set(uploads.uploads_of(tmp_path, "")) == {one, three}


def test_what_is_being_read_is_not_pushed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_KEPT", 2)

    async def send(i: int, others: asyncio.Barrier) -> bool:
        try:
            async with uploads.arriving(_chunks(bytes([i])), "a.zip", tmp_path, "", set) as path:
                await others.wait()
                return path.is_file()
        except SourceError:
            await others.wait()
            return False

    async def all_at_once() -> list[bool]:
        others = asyncio.Barrier(4)
        return await asyncio.gather(*(send(i, others) for i in range(4)))

    found = asyncio.run(all_at_once())
    assert sum(found) == 2
    assert len(uploads.uploads_of(tmp_path, "")) == 2


def test_runs_and_their_jobs_need_what_they_were_trained_on(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    for name, text in (("done", '{"source": "/up/a.zip"}'), ("damaged", '{"source"'), ("other", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / folder.DATA).write_text(text)
    jobs = Jobs(tmp_path / "jobs")
    recipe = new_draft("lab", FACTS).specification(FACTS)
    start_fit(jobs, "", "/up/b.zip", recipe, tmp_path / "new", configs=tmp_path)
    assert uploads.sources_of(tmp_path, jobs.of("")) == {"/up/a.zip", "/up/b.zip", ""}


def test_undo_does_not_go_back_to_an_upload_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "desks").mkdir()
    desk = Desks(tmp_path / "desks").new("")
    kept = tmp_path / "uploads" / "kept.zip"
    kept.parent.mkdir()
    kept.touch()
    for source in (str(tmp_path / "uploads" / "gone.zip"), str(kept), "mnist"):
        desk.choose(source)
    desk.forget(tmp_path / "uploads")
    assert [work.source for work in desk.undone] == ["digits", str(kept)]


def an_archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_an_upload_that_unpacks_to_too_much_is_refused_by_its_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = io.BytesIO()
    np.save(y, np.zeros(3))
    x = io.BytesIO()
    # A header alone: whoever decoded it would say that the pixels are missing.
    np.lib.format.write_array_header_1_0(
        x, {"descr": "|u1", "fortran_order": False, "shape": (2_000_000, 32, 32, 3)}
    )
    bomb = an_archive(tmp_path / "bomb.npz", **{"x.npy": x.getvalue(), "y.npy": y.getvalue()})
    with pytest.raises(SourceError, match=r"bomb\.npz: its arrays take 6\.1 GB"):
        uploads.check_declared(bomb)
    small = io.BytesIO()
    Image.new("L", (40, 30)).save(small, "PNG")
    pictures = an_archive(tmp_path / "a.zip", **{"cat/1.png": small.getvalue(), "cat/broken.png": b"x"})

    def decoded(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(PngImageFile, "load", decoded)
    uploads.check_declared(pictures)
    monkeypatch.setattr(uploads, "MOST_PIXELS", 1000)
    with pytest.raises(SourceError, match=r"a\.zip: cat/1\.png has 40x30 pixels"):
        uploads.check_declared(pictures)


def test_a_wrong_upload_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    for name, parts, said in (
        ("a.zip", [b"x" * 6, b"x" * 6], "at most"),
        ("a.zip", [], "empty"),
        ("a.exe", [b"x"], "expected an archive"),
    ):
        with pytest.raises(SourceError, match=said):
            receive(tmp_path, name, *parts)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_those_who_ask_for_the_same_images_wait_for_one_reading() -> None:
    readings = []

    async def off_loop(function: Any, *given: Any) -> Any:
        readings.append(given[0])
        await asyncio.sleep(0)
        if len(readings) == 1:
            raise SourceError("planted")
        return function(*given)

    async def ask() -> None:
        bench = Bench(off_loop)
        with pytest.raises(SourceError, match="planted"):
            await bench.images("digits", DataSpec())
        assert bench.known("digits", DataSpec()) is None
        one, two = await asyncio.gather(*(bench.images("digits", DataSpec()) for _ in range(2)))
        assert one is two
        assert bench.known("digits", DataSpec()) is one

    asyncio.run(ask())
    assert readings == ["digits", "digits"]


def ask(gate: Gate, path: str = "/", **headers: str) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app=gate)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(call())


async def _application(scope: Any, receive: Any, send: Any) -> None:
    body = repr(scope[OWNER]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_the_gate_knows_its_hosts_and_its_own_pages() -> None:
    gate = Gate(_application, who=one_token(None), hosts=frozenset({"127.0.0.1", "localhost"}))
    assert ask(gate).text == "''"
    assert ask(gate, host="evil.example:8080").status_code == 421
    assert ask(gate, origin="http://127.0.0.1:8080").status_code == 200
    assert ask(gate, origin="http://evil.example").status_code == 403
    assert ask(gate, origin="null").status_code == 403


def test_a_token_is_asked_for_and_taken_out_of_the_address() -> None:
    gate = Gate(_application, who=one_token("secret"), hosts=None)
    assert ask(gate).status_code == 401
    assert ask(gate, "/?token=wrong").status_code == 401
    entered = ask(gate, "http://127.0.0.1:8080//evil.example/lab/x?token=secret&image=3")
    assert entered.status_code == 303
    assert entered.headers["location"] == "/evil.example/lab/x?image=3"
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "secret" not in cookie
    assert ask(gate, cookie=cookie.partition(";")[0]).status_code == 200
    assert ask(gate, cookie=f"{COOKIE}=secret").status_code == 401
    assert ask(gate, cookie=f"{COOKIE}=wrong").status_code == 401


def test_wrong_tokens_are_counted() -> None:
    gate = Gate(_application, who=one_token("secret"), hosts=None)
    inside = {"cookie": ask(gate, "/?token=secret").headers["set-cookie"].partition(";")[0]}
    assert ask(gate, **inside).status_code == 200
    # A link that is out of date may be opened again and again, and is one wrong token.
    for _ in range(3 * MOST_WRONG):
        assert ask(gate, "/?token=old").status_code == 401
    for i in range(MOST_WRONG - 1):
        assert ask(gate, f"/?token=guess-{i}").status_code == 401
    assert ask(gate, "/?token=another").status_code == 429
    # Those who are in stay in, and whoever has used the right one at this address may use it again.
    assert ask(gate).status_code == 401
    assert ask(gate, **inside).status_code == 200
    assert ask(gate, "/?token=secret").status_code == 303
    fresh = Gate(_application, who=one_token("secret"), hosts=None)
    for i in range(MOST_WRONG):
        ask(fresh, f"/?token=guess-{i}")
    # Also the right one is not taken now, or it could be found.
    assert ask(fresh, "/?token=secret").status_code == 429


def test_a_class_comes_in_by_its_door_alone() -> None:
    sessions = BrowserSessions()
    gate = Gate(_application, who=one_token("secret"), hosts=None, door="/join", sessions=sessions)
    assert ask(gate, "/lab/x/data").headers["location"] == "/join"
    with pytest.raises(KeyError, match=OWNER):  # the application is asked, with no owner
        ask(gate, "/join")
    assert ask(gate, "/join/../lab").status_code == 303
    inside = sessions.begin("", digest("secret"))
    assert ask(gate, cookie=f"{COOKIE}={inside}").status_code == 200


def test_a_draft_has_no_more_epochs_than_the_course_allows(tmp_path: Path) -> None:
    (tmp_path / "course.yaml").write_text(
        "title: A class\nsources: [digits]\nlimits: {epochs: 3}\nteacher: teacher-token\nclass_token: everybody\n"
    )
    jobs = Jobs(tmp_path)
    course = load_course(tmp_path / "course.yaml")
    facts = ImageFacts(32, 32, 1_000)
    for limit, bench in (
        (3, Lab(tmp_path, jobs, Desks(tmp_path), Bench(), Helper(), course=course)),
        (None, Lab(tmp_path, jobs, Desks(tmp_path), Bench(), Helper())),
    ):
        for recipe in ("lab", "fast", "best"):
            draft = bench.new_draft(recipe, facts)
            epochs = draft.specification(facts).training.epochs
            assert epochs == limit if limit else draft == new_draft(recipe, facts)
