"""A remedy exists where it is read: no option in Python, no command or key on the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction import audience
from conviction.audience import AUDIENCES, Audience, Remedy, by_key, call, on_ray, option
from conviction.config import DataSpec, load_recipe
from conviction.data import audit_images, load_source, split_images
from conviction.data.findings import few_to_learn_from
from conviction.errors import ConvictionError
from conviction.evaluation import Advice
from conviction.flow.evaluation import advice_words
from conviction.reporting import steps
from conviction.runs import RunFolder
from tests.conftest import Cli, picture

OPTION = re.compile(r"(?<![\w-])--[a-z]")
KEY = re.compile(r"\b(data|model|training|augmentation|evaluation|recipe)(\.\w+)?=")
COMMAND = re.compile(r"\bconviction (fit|resume|inspect|evaluate|export|predict|explore|tune|report)\b")
CALL = re.compile(r"\bconviction\.\w+\(")
WRONG: dict[Audience, tuple[re.Pattern[str], ...]] = {
    "terminal": (CALL,),
    "python": (OPTION, COMMAND),
    "page": (OPTION, KEY, COMMAND, CALL),
}


@pytest.fixture(params=AUDIENCES)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Audience:
    monkeypatch.setattr(audience, "_now", request.param)
    return request.param


def assert_for(reader: Audience, said: str) -> None:
    assert not [pattern.pattern for pattern in WRONG[reader] if pattern.search(said)], said


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with as many kinds of faults as fit into a few pictures."""
    root = tmp_path_factory.mktemp("faulty")
    for part, names in (("train", ("cat", "dog", "eel")), ("test", ("cat", "dog"))):
        for label, name in enumerate(names):
            (root / part / name).mkdir(parents=True)
            for i in range(4 if name == "dog" else 24):
                Image.fromarray(picture(100 * len(part) + i, label)).save(root / part / name / f"{i}.png")
    train, test = root / "train", root / "test"
    Image.fromarray(picture(501, 0)).save(train / "cat" / "leaked.png")
    for place in (test / "cat" / "leak.png", train / "cat" / "copy.png", train / "dog" / "conflict.png"):
        place.write_bytes((train / "cat" / "leaked.png").read_bytes())
    Image.new("L", (20, 20), 7).save(train / "cat" / "blank.png")
    Image.new("RGB", (90, 20), (9, 200, 7)).save(train / "dog" / "wide.jpg", "PNG")
    (train / "dog" / "broken.png").write_bytes(b"no picture")
    return root


def test_what_the_audit_advises_exists_where_it_is_read(reader: Audience, faulty: Path) -> None:
    images = load_source(faulty, DataSpec())
    few = few_to_learn_from(images, np.flatnonzero(images.parts == "train"))
    findings = [*audit_images(images, DataSpec()).findings, *few]
    assert {f.kind for f in findings} >= {
        *("class_folders", "leak", "label_conflict", "duplicates", "unreadable", "blank", "misnamed"),
        *("imbalance", "few_images", "sizes", "aspect_ratios", "modes"),
    }
    for finding in findings:
        assert_for(reader, f"{finding.sentence} {finding.advise()}")
        assert finding.advise(reader) == finding.advise() == finding.to_json(images)["advice"]
    assert_for(reader, " ".join(steps.audit_step(findings).sentences))


def test_what_the_steps_say_exists_where_it_is_read(reader: Audience, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(8):
                Image.fromarray(picture(100 * len(part) + i, label)).save(tmp_path / part / name / f"{i}.png")
    (tmp_path / "test" / "cat" / "leak.png").write_bytes((tmp_path / "train" / "cat" / "1.png").read_bytes())
    for leak in ("drop", "keep"):
        spec = DataSpec(on_leak=leak, group="(cat)/1")
        images = load_source(tmp_path, spec)
        audit = audit_images(images, spec)
        split = split_images(images, spec, 0, audit.groups, audit.excluded)
        told = [
            steps.load_step(images),
            steps.reshape_step(images),
            steps.split_step(images, split, spec),
            steps.compile_step(load_recipe({"recipe": "best"}).training, 2, 40),
            steps.folder_step(tmp_path, ["report.html"]),
        ]
        for step in told:
            assert_for(reader, " ".join(step.sentences))


def test_what_a_verdict_advises_exists_where_it_is_read(reader: Audience) -> None:
    run = cast("RunFolder", SimpleNamespace(path=Path("runs/a b"), data=SimpleNamespace(source="my set")))
    longer = advice_words(Advice(("training.epochs=8",), resumes=True), run)
    assert_for(reader, longer)
    if reader == "page":
        return  # It words the others itself, with links: tests/web/test_said.py.
    key, recipe = (advice_words(Advice((key,)), run) for key in ("training.early_stopping=3", "recipe=best"))
    for words in (key, recipe):
        assert_for(reader, words)
    assert (longer, key, recipe) == {
        "terminal": (
            "conviction resume 'runs/a b' training.epochs=8",
            "conviction fit 'my set' --config 'runs/a b/config.yaml' training.early_stopping=3",
            "conviction fit 'my set' recipe=best",
        ),
        "python": (
            "conviction.resume('runs/a b', ['training.epochs=8'])",
            "conviction.fit('my set', ['training.early_stopping=3'], config='runs/a b/config.yaml')",
            "conviction.fit('my set', ['recipe=best'])",
        ),
    }[reader]


@pytest.mark.parametrize("remedy", [r for r in Remedy if r])
def test_every_remedy_has_words_for_everyone(remedy: Remedy) -> None:
    for one in get_args(Audience):
        assert_for(one, remedy.words(one))
        assert remedy.words(one).endswith(".")


def test_words_for_settings_and_calls(reader: Audience) -> None:
    words = [option("data-dir"), on_ray(), by_key("data.on_leak=drop")]
    words += [call(verb, "runs/a b") for verb in ("resume", "evaluate", "export")]
    for said in words:
        assert_for(reader, said)
    if reader == "terminal":
        assert (
            call("resume", "runs/a b", "training.epochs=4")
            == "conviction resume 'runs/a b' training.epochs=4"
        )


WRONG_CALLS: dict[str, Callable[[Path], Any]] = {
    "a folder of data": lambda at: conviction.load_source("mnist", data_dir=at / "nowhere"),
    "a config": lambda at: conviction.fit("digits", config=at / "nowhere.yaml"),
    "an output": lambda at: conviction.fit("digits", out=at),
    "an exclusion": lambda at: conviction.fit("digits", {"data.exclude": str(at / "nowhere.csv")}),
    "seeds": lambda at: conviction.explore("digits", question=["kernel"], seeds=0),
    "jobs": lambda at: conviction.explore("digits", question=["kernel"], jobs=0),
    "a question": lambda at: conviction.explore("digits", question=["colour"]),
    "nothing to vary": lambda at: conviction.explore("digits"),
    "what is varied": lambda at: conviction.explore("digits", vary=["training.seed=1,2"]),
    "a grid": lambda at: conviction.explore("digits", vary=["model.dropout=0,0.5"], grid=True),
    "equal seconds": lambda at: conviction.explore("digits", question=["kernel"], equal_seconds=-1.0),
    "trials": lambda at: conviction.tune("digits", trials=0),
    "against": lambda at: conviction.tune("digits", against="beauty"),
    "a space": lambda at: conviction.tune("digits", space=at / "nowhere.yaml"),
    "a run that is not there": lambda at: conviction.load_run(at / "nowhere"),
    "no run": conviction.load_run,
}


@pytest.mark.parametrize("wrong", WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_in_python_an_error_names_arguments(wrong: Callable[[Path], Any], tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(ConvictionError) as found:
        wrong(tmp_path)
    assert_for("python", str(found.value))


def test_the_command_line_names_its_options(cli: Cli) -> None:
    assert "--data-dir nowhere" in cli("summary", "mnist", "--data-dir", "nowhere").err
    assert "--seeds" in cli("explore", "digits", "--question", "kernel", "--seeds", "0").err
    said = cli("summary", "mnist", "--data-dir", "nowhere", env={audience.VARIABLE: "page"}).err
    assert_for("page", said)


# What only a command line or a server of its own says; and what is made for a shell.
OF_COMMANDS = ("cli", "server", "web/server.py", "web/jobs/starts.py", "web/work/course.py")
FOR_SHELLS = {"rows.py", "training.py", "connection.py", "audience.py", "prediction.py", "shared.py"}


SPELT = re.compile(r"(?<![\w(-])--[a-z]+(-[a-z]+)*([ :.,]|$)")
STYLE = re.compile(r"(^|\")--[a-z]+: ?$")
OTHER_PROGRAM = re.compile(r"\btar --")


def test_no_sentence_of_the_library_spells_an_option_out() -> None:
    """``option`` does, in the words of whoever listens."""
    package = Path(conviction.__file__).parent
    spelt = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name.startswith(OF_COMMANDS) or path.name in FOR_SHELLS:
            continue
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        spelt += [
            f"{name}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
            if SPELT.search(node.value)
            and not any(r.search(node.value) for r in (STYLE, COMMAND, OTHER_PROGRAM))
        ]
    assert not spelt
