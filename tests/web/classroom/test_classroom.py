"""A course file is read strictly; learners have folders of their own; results open safely in a spreadsheet."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

import conviction
from conviction.errors import OutputError, RequestError
from conviction.lesson import chapters
from conviction.lesson.progress import load_progress, update_progress
from conviction.reporting.spreadsheet import safe_cell
from conviction.web.classroom import (
    Course,
    Guess,
    Learner,
    Learners,
    class_results,
    keep_guess,
    load_course,
    read_guesses,
    results_csv,
)
from conviction.web.classroom.names import check_name, folder_name
from conviction.web.door.joining import add_joining
from conviction.web.door.sessions import BrowserSessions
from conviction.web.pages.chapter import chapter_button

GOOD = {
    "title": "Seeing machines",
    "chapters": ["training", "data"],
    "sources": ["digits"],
    "limits": {"epochs": 5, "minutes": 2},
    "teacher": "the-teachers-token",
    "learners": {"Ada": "adas-own-token", "Zoë O'Hara": "zoes-own-token"},
    "class_token": "whole-class-token",
}


def write(place: Path, **changes: Any) -> Path:
    content = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    path = place / "course.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def test_a_course_is_read_with_defaults(tmp_path: Path) -> None:
    course = load_course(write(tmp_path))
    assert course.chapters == ("data", "training")  # the lesson's order, whatever the file's
    assert (course.limits.epochs, course.limits.images, course.limits.minutes) == (5, 70_000, 2.0)
    least = load_course(
        write(tmp_path, **{**dict.fromkeys(GOOD, ...), "title": "T", "class_token": "whole-class-token"})
    )  # type: ignore[arg-type]
    assert least.chapters == tuple(chapter.name for chapter in chapters())
    assert least.sources == ("digits",)


def test_sources_may_be_paths_beside_the_course_file(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    course = load_course(write(tmp_path, sources=["fashion_mnist", "flowers"]))
    assert course.sources == ("fashion_mnist", str(tmp_path / "flowers"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"titel": "x"}, r"titel: unknown key\. Did you mean 'title'\? Known: title, chapters"),
        ({"limits": {"epoch": 3}}, r"limits\.epoch: unknown key\. Did you mean 'epochs'"),
        ({"limits": {"epochs": 0}}, r"limits\.epochs: expected greater than or equal to 1; got 0"),
        ({"limits": {"epochs": True}}, r"limits\.epochs: expected an integer; got True"),
        ({"title": ...}, r"title: is missing"),
        ({"chapters": ["dta"]}, r"there is no chapter 'dta'\. Did you mean 'data'"),
        ({"chapters": []}, "at least one"),
        ({"chapters": "data"}, r"chapters: expected a tuple"),
        ({"sources": ["digit"]}, r"'digit' is neither .* Did you mean 'digits'"),
        ({"sources": []}, "sources: "),
        ({"learners": ..., "class_token": ...}, "nobody could join"),
        ({"learners": {"Ada": 12345678}}, r"learners\.Ada: expected a string\. Put it in quotes"),
        ({"learners": {"Ada": "short"}}, r"at least 8 characters"),
        ({"learners": {"../up": "a-long-token"}}, r"learners: name: expected letters and digits"),
        ({"learners": {"Ada": "token-one", "ADA": "token-two"}}, "'A(da|DA)' and 'A(da|DA)' could be taken"),
        ({"learners": {"Ada": "token-one", "Bo": "token-one"}}, "two tokens are the same"),
        ({"teacher": "adas-own-token"}, "two tokens are the same"),
    ],
)
def test_what_is_wrong_with_a_course_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        load_course(write(tmp_path, **changes))
    assert caught.value.exit_code == 2
    assert "course.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "short" not in str(caught.value)  # a token is not repeated


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[a, b]", b"a: [", b"", b"- x"])
def test_files_that_are_no_course(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "course.yaml"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"--course .*course\.yaml: (cannot|not valid|expected keys)"):
        load_course(path)
    with pytest.raises(RequestError, match="cannot read it"):
        load_course(tmp_path / "none.yaml")


@pytest.fixture
def learners(tmp_path: Path) -> Learners:
    return Learners(load_course(write(tmp_path)), tmp_path / "runs")


def test_learners_of_the_file_join_with_their_own_token_alone(learners: Learners) -> None:
    ada = learners.join(" ada ", "adas-own-token")
    assert ada.learner == Learner("Ada", learners.root / "ada")
    assert ada.learner.folder.is_dir()
    assert ada.new_token is None
    for name, token in [
        ("Ada", "zoes-own-token"),
        ("Ada", "whole-class-token"),  # would let anybody be Ada
        ("Ada", ""),
        ("Ada", "ädas-own-token"),
        ("Nobody", "adas-own-token"),
    ]:
        with pytest.raises(RequestError, match="do not belong together"):
            learners.join(name, token)


def test_the_teachers_token_is_not_to_be_guessed_under_any_name(learners: Learners) -> None:
    def post(token: str, host: str) -> tuple[int, str]:
        # ASGI by itself, because a client's address is what matters.
        said: list[Any] = []
        body = urlencode({"name": "", "token": token}).encode()

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            said.append(message)

        scope = {
            **{"type": "http", "method": "POST", "path": "/join", "headers": [], "query_string": b""},
            **{"client": (host, 1), "server": ("lab", 80), "scheme": "http", "http_version": "1.1"},
        }
        asyncio.run(app(scope, receive, send))
        return said[0]["status"], said[1]["body"].decode()

    app = FastAPI()
    add_joining(app, learners, BrowserSessions())
    for _ in range(30):  # the same slip again and again is one
        assert post("the-teachers-tokem", "10.0.0.1")[0] == 403
    assert post("the-teachers-token", "10.0.0.1")[0] == 303
    for number in range(30):
        assert post(f"guess-{number}", "10.0.0.2")[0] == 403
    status, page = post("the-teachers-token", "10.0.0.2")
    assert (status, "too many wrong tokens" in page) == (403, True)
    assert post("the-teachers-token", "10.0.0.1")[0] == 303, "others are not shut out"


def test_others_join_with_the_class_token_and_come_back_with_their_own(learners: Learners) -> None:
    first = learners.join("Bo", "whole-class-token")
    assert first.new_token is not None
    assert len(first.new_token) >= 16
    again = Learners(learners.course, learners.root)  # a server that was started anew
    assert again.join("BO", first.new_token).learner == first.learner
    with pytest.raises(RequestError, match="has already joined"):
        again.join("bo", "whole-class-token")
    with pytest.raises(RequestError, match="do not belong together"):
        again.join("bo", "something-else")
    assert first.new_token not in (learners.root / "learners.json").read_text()
    assert [one.name for one in again.everyone()] == ["Ada", "Bo", "Zoë O'Hara"]
    closed = Learners(learners.course.model_copy(update={"class_token": None}), learners.root)
    with pytest.raises(RequestError, match="do not belong together"):
        closed.join("Cy", "whole-class-token")


def test_tokens_cannot_be_tried_one_after_the_other(learners: Learners) -> None:
    time = [1000.0]
    learners.tries.clock = lambda: time[0]
    for i in range(10):
        with pytest.raises(RequestError, match="do not belong together"):
            learners.join("Ada", f"guess number {i}")
    with pytest.raises(RequestError, match="too many wrong tokens"):
        learners.join("ADA", "adas-own-token")
    learners.join("Zoë O'Hara", "zoes-own-token")  # others are not kept out
    time[0] += 61
    learners.join("Ada", "adas-own-token")
    for i in range(90):
        with pytest.raises(RequestError, match="do not belong together"):
            learners.join(f"Name {i}", "guess")
    for i in range(10):
        with pytest.raises(RequestError, match="do not belong together"):
            learners.join("Zoë O'Hara", f"guess {i}")
    with pytest.raises(RequestError, match="too many"):
        learners.join("Somebody", "whole-class-token")


def test_who_a_token_belongs_to(learners: Learners) -> None:
    ada = learners.join("Ada", "adas-own-token").learner
    bo = learners.join("Bo", "whole-class-token")
    assert bo.new_token is not None
    assert learners.who("adas-own-token") == ada
    assert learners.who(bo.new_token) == bo.learner
    for token in ("", "whole-class-token", "the-teachers-token", "adas-own-toke"):
        assert learners.who(token) is None


def test_a_damaged_list_of_learners_is_not_thrown_away(learners: Learners) -> None:
    learners.root.mkdir()
    (learners.root / "learners.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        learners.join("Bo", "whole-class-token")
    assert (learners.root / "learners.json").read_text() == "{"


def test_the_teachers_token(learners: Learners) -> None:
    assert learners.is_teacher("the-teachers-token")
    assert not learners.is_teacher("adas-own-token")
    without = learners.course.model_copy(update={"teacher": None})
    assert not Learners(without, learners.root).is_teacher("")


# Names as people have them, and as people who mean harm would write them.
names = st.one_of(
    st.text(max_size=50),
    st.from_regex(
        "[a-zA-Zäöüéß\u0130\u0131\u01c5\u03a3\u03c2\ufb00\u2460\u0663\u674e .'-]{1,45}", fullmatch=True
    ),
    st.sampled_from(
        ["..", "../x", "a/b", "CON", "nul.txt", "a\\b", "a\0b", ".hidden", "a.", "learners.json"]
    ),
)


@given(names)
@settings(max_examples=400)
def test_names_make_safe_folders_or_are_refused(name: str) -> None:
    try:
        shown = check_name(name)
    except RequestError:
        return
    place = folder_name(shown)
    assert check_name(shown) == shown
    assert folder_name(check_name(shown.upper())) == place or shown.upper().casefold() != shown.casefold()
    assert Path(place).name == place
    assert not place.startswith((".", "-", " "))
    assert not place.endswith((".", " "))
    assert len(place.encode()) <= 255
    assert not set(place) & set('/\\:*?"<>|\0\n')
    assert place.split(".")[0] not in ("con", "prn", "aux", "nul")


@given(names, names)
@settings(max_examples=300)
def test_two_names_share_a_folder_only_if_they_are_the_same(one: str, other: str) -> None:
    try:
        first, second = check_name(one), check_name(other)
    except RequestError:
        return
    if folder_name(first) == folder_name(second):
        assert (
            check_name(first.casefold()) == check_name(second.casefold()) or first.upper() == second.upper()
        )


@pytest.mark.parametrize("name", ["Zoë", "李雷", "Anne-Marie O'Neill", "José A. García", "x1", "Нина"])
def test_names_that_people_have_are_accepted(name: str) -> None:
    assert check_name(name) == name


def test_guesses_are_kept_and_joined_with_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "new" / "guesses.jsonl"
    assert read_guesses(path) == []
    keep_guess(path, "kernel", "5x5 is better")
    keep_guess(path, "dropout", "none")
    keep_guess(path, "kernel", "5x5 is better", "No detectable difference.")
    with path.open("a") as file:
        file.write('{"question": "cut off')  # by a crash
    first, second = read_guesses(path)
    assert (first.question, first.guess, first.found) == (
        "kernel",
        "5x5 is better",
        "No detectable difference.",
    )
    assert second == Guess("dropout", "none", None, second.time)
    path.write_text("[]\n")
    with pytest.raises(OutputError, match="cannot be read"):
        read_guesses(path)


def test_each_learner_has_progress_of_their_own(learners: Learners) -> None:
    ada = learners.join("Ada", "adas-own-token").learner
    zoe = learners.join("Zoë O'Hara", "zoes-own-token").learner
    update_progress(lambda p: p.quiz.update(data=(3, 4)), ada.progress)
    assert load_progress(ada.progress).quiz == {"data": (3, 4)}
    assert load_progress(zoe.progress).quiz == {}


def small_run(at: Path, learner_run: str, trained: Path, **changes: Any) -> None:
    """The files of a run that results are read from, with an evaluation changed as asked."""
    target = at / learner_run
    target.mkdir(parents=True)
    for name in ("config.yaml", "data.json", "history.csv", "evaluation.json"):
        shutil.copy(trained / name, target / name)
    evaluation = json.loads((target / "evaluation.json").read_text())
    (target / "evaluation.json").write_text(json.dumps({**evaluation, **changes}))


RECORDED = Path(conviction.__file__).parent / "lesson" / "recorded"


def test_results_say_what_was_done(learners: Learners) -> None:
    ada = learners.join("Ada", "adas-own-token").learner
    zoe = learners.join("Zoë O'Hara", "zoes-own-token").learner
    small_run(ada.runs, "one", RECORDED)
    small_run(ada.runs, "sealed", RECORDED, test=None)
    config = yaml.safe_load((ada.runs / "sealed" / "config.yaml").read_text())
    config["training"]["epochs"] = 3
    (ada.runs / "sealed" / "config.yaml").write_text(yaml.safe_dump(config))
    (ada.runs / "broken").mkdir()
    (ada.runs / "broken" / "config.yaml").write_text("nonsense: [")
    update_progress(
        lambda p: (p.read.update(training="2026", data="2026"), p.quiz.update(data=(3, 4))), ada.progress
    )
    keep_guess(ada.guesses, "kernel", "=5x5", "No detectable difference.")
    zoe.guesses.write_text("[]\n")
    rows = {row.run: row for row in class_results(learners.everyone())}
    assert set(rows) == {"one", "sealed", "broken", ""}
    evaluation = json.loads((RECORDED / "evaluation.json").read_text())
    one = rows["one"]
    assert (one.learner, one.source, one.recipe, one.status) == ("Ada", "fashion_mnist", "lab", "done")
    assert one.test_accuracy == evaluation["test"]["accuracy"]
    assert one.openings == evaluation["test"]["openings"]
    assert one.validation_accuracy == evaluation["validation"]["accuracy"]
    assert one.verdict == evaluation["overfitting"]["verdict"]
    assert one.chapters_read == "data, training"
    assert one.quizzes == "data 3 of 4"
    assert one.guesses == "kernel: guessed '=5x5', found: No detectable difference."
    assert (rows["sealed"].test_accuracy, rows["sealed"].openings) == (None, None)
    assert "training.epochs=3" in rows["sealed"].changes
    assert "training.epochs" not in one.changes
    assert rows["broken"].status == "damaged"
    assert rows["broken"].trouble
    assert rows[""].learner == "Zoë O'Hara"
    assert "guesses" in rows[""].trouble
    read = list(csv.DictReader(io.StringIO(results_csv(list(rows.values())), newline="")))
    assert [row["learner"] for row in read] == ["Ada", "Ada", "Ada", "Zoë O'Hara"]
    assert float(read[0]["validation_accuracy"]) == one.validation_accuracy


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_no_cell_begins_a_formula_and_rows_stay_rows(texts: list[str]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([safe_cell(text) for text in texts])
    (row,) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert len(row) == len(texts)
    for cell in row:
        assert not cell.startswith(tuple("=+-@\t\r\n"))
        assert "\n" not in cell


def test_a_page_does_not_lead_to_a_chapter_that_the_course_leaves_out() -> None:
    page: Any = SimpleNamespace(lab=SimpleNamespace(chapters=("data", "training")))
    chapter_button(page, "transfer")  # would need a page to put a button on


def test_a_course_is_a_frozen_value(tmp_path: Path) -> None:
    course = load_course(write(tmp_path))
    assert Course.model_validate(course.model_dump()) == course
    with pytest.raises(ValueError, match="frozen"):
        course.title = "another"  # type: ignore[misc]
