"""Run folders and studies from somebody else: a line that names the file, exit code 2, nothing written elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from conviction.runs import folder
from tests.conftest import Result, made_once, picture, run_cli

pytestmark = pytest.mark.full

# What is done to a file; each writes something else in its place.
Damage = Callable[[Path], None]
CHECKPOINT = f"{folder.CHECKPOINTS}/000002-000000000.ckpt"
RECORD = f"{folder.EXPORTS}/export.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a finished run with every file, and an exploration."""

    def make(path: Path) -> None:
        for label, name in enumerate(("cat", "dog", "owl")):
            (path / "pictures" / name).mkdir(parents=True)
            for i in range(20):
                Image.fromarray(picture(i, label, (12, 12))).save(path / "pictures" / name / f"{i}.png")
        small = ["recipe=lab", "model.filters=[4]", "model.dense=[8]", "training.epochs=2"]
        more = ["training.learning_rate=auto", "evaluation.folds=2x1"]
        run = ("fit", "pictures", *small, *more, "--tensorboard", "--out", "run")
        export = ("export", "run", "--format", "keras")
        study = (
            "explore",
            "pictures",
            *small,
            "--vary",
            "model.filters=[4],[6]",
            "--seeds",
            "1",
            "--out",
            "study",
        )
        for command in (run, export, study):
            done = run_cli(*command, cwd=path, home=path / "home")
            assert done.code == 0, done.err

    return made_once(tmp_path_factory, "hostile", make)


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it, beside a folder ``outside`` that nothing may change."""
    for name in ("pictures", "run", "study"):
        shutil.copytree(made / name, tmp_path / name)
    _move(tmp_path / "run" / folder.DATA, made, tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in (".bashrc", ".report-k2_x81ab.html", "000001-000000000.ckpt", "events.txt", "any.json"):
        (outside / name).write_text("dear")
    before = _contents(outside)
    yield tmp_path
    assert _contents(outside) == before
    assert {p.name for p in tmp_path.iterdir()} <= {"pictures", "run", "study", "outside", "home", "whole"}


def _move(data: Path, made: Path, to: Path) -> None:
    data.write_text(data.read_text().replace(str(made / "pictures"), str(to / "pictures")))


def _contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def asked(command: str, here: Path) -> Result:
    """The command for ``run``, with what else it needs."""
    words: dict[str, list[str]] = {
        "compare": ["compare", "run", "whole"],
        "export": ["export", "run", "--format", "keras"],
        "explain": ["explain", "run", "pictures/cat/0.png"],
        "predict": ["predict", "run", "pictures/cat/0.png"],
        "resume": ["resume", "run", "training.epochs=3"],
        "runs": ["runs", "."],
    }
    return run_cli(*words.get(command, [command, "run"]), cwd=here, home=here / "home")


def refused(result: Result, *names: str, code: int = 2) -> None:
    """One line that names the file."""
    assert "Traceback" not in result.err, result.err
    assert result.code == code, (result.out, result.err)
    lines = result.err.strip().splitlines()
    last = lines[-1]
    assert [line for line in lines if line.startswith("conviction: ")] == [last], result.err
    assert any(name in last for name in names), last
    assert len(last) < 1500


# Damages of any file.


def written(content: str | bytes) -> Damage:
    """Other content."""
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content) and None


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("../outside/any.json")


def a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def sparse(path: Path) -> None:
    """It says that it has 2 TB, and takes no room."""
    os.truncate(path, 2 * 10**12)


IN_ITS_PLACE: dict[str, Damage] = {
    "folder": a_folder,
    "link": a_link,
    "link to nothing": a_link_to_nothing,
    "pipe": a_pipe,
    "binary": written(b"\x00\xff\xfe{[" * 50),
    "empty": written(""),
}
JSON: dict[str, Damage] = {
    **IN_ITS_PLACE,
    "cut": cut,
    "list": written("[1, 2]"),
    "text": written('"text"'),
    "null": written("null"),
    "deep": written("[" * 100_000 + "]" * 100_000),
    "number that is none": written('{"a": NaN}'),
    "long number": written('{"a": ' + "9" * 5000 + "}"),
    "sparse": sparse,
}


def put(*keys: Any, value: Any) -> Damage:
    """Another value in a JSON file."""

    def damage(path: Path) -> None:
        content = inner = json.loads(path.read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        path.write_text(json.dumps(content))

    return damage


def put_yaml(section: str, key: str, value: Any) -> Damage:
    def damage(path: Path) -> None:
        content = yaml.safe_load(path.read_text())
        content[section][key] = value
        path.write_text(yaml.safe_dump(content))

    return damage


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
YAML: dict[str, Damage] = {
    **IN_ITS_PLACE,
    "list": written("- 1"),
    "text": written("text"),
    "aliases": written(BOMB),
    "deep": written("- " * 5000),
    "long number": put_yaml("training", "seed", 10**400),
    "base 60": lambda path: path.write_text(path.read_text().replace("epochs: 2", "epochs: 1:30")) and None,
    "key twice": lambda path: path.write_text(path.read_text() + "recipe: lab\n") and None,
    "long key": written("? " + "k" * 100_000 + "\n: 1"),
    "unknown key": put_yaml("training", "telepathy", True),
    "tag": written("!!python/object/apply:os.system ['true']"),
    "not finite": put_yaml("training", "learning_rate", float("nan")),
    "wrong value": put_yaml("training", "epochs", "many"),
    "sparse": sparse,
}


def arrays(**changes: Any) -> Damage:
    """Other arrays in an ``.npz``; None takes one out."""

    def damage(path: Path) -> None:
        with np.load(path) as archive:
            content = {name: archive[name] for name in archive.files}
        for name, change in changes.items():
            value = change(content[name]) if callable(change) else change
            if value is None:
                del content[name]
            else:
                content[name] = value
        np.savez_compressed(path, **content)

    return damage


def declared(shape: str, dtype: str = "<f4") -> Damage:
    """The header of each array says another shape."""

    def damage(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
        head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.writestr(name, head + b"\0" * 64)

    return damage


def inflated(path: Path) -> None:
    """A member that unpacks to 3 GB."""
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3000000000,), }"
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("test_probabilities.npy", "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(3000):
            member.write(bytes(10**6))


NPZ: dict[str, Damage] = {
    **IN_ITS_PLACE,
    "cut": cut,
    "no archive": written(b"\x93NUMPY\x01\x00"),
    "terabytes": declared("(1000000, 1000000)"),
    "negative": declared("(-5, 3)"),
    "objects": declared("(3,)", "|O"),
    "text": declared("(3,)", "<U9"),
    "sparse": sparse,
}
PREDICTIONS: dict[str, Damage] = {
    **NPZ,
    "no labels": arrays(test_labels=None),
    "no part": arrays(train_labels=None, train_probabilities=None, train_hashes=None),
    "unknown part": arrays(secret_labels=np.zeros(3)),
    "not a number": arrays(test_probabilities=lambda a: a * np.nan),
    "infinite": arrays(test_probabilities=lambda a: a + np.inf),
    "fewer classes": arrays(test_probabilities=lambda a: a[:, :2]),
    "fewer images": arrays(test_probabilities=lambda a: a[:-1]),
    "other hashes": arrays(test_hashes=lambda a: a[:, :4]),
    "label that is none": arrays(test_labels=lambda a: a + 1000),
    "label with a fraction": arrays(test_labels=lambda a: a + 0.5),
    "inflated": inflated,
}
FOLDS: dict[str, Damage] = {
    **NPZ,
    "no key": arrays(key=None),
    "fold that is none": arrays(fold=lambda a: a + 7),
    "other repetitions": arrays(fold=lambda a: a[:0]),
    "negative": arrays(learned=lambda a: -a),
    "text in place of numbers": arrays(fold=lambda a: a.astype("U3")),
    "fewer labels": arrays(labels=lambda a: a[:-1]),
    "infinite": arrays(probabilities=lambda a: a + np.inf),
}
DATA: dict[str, Damage] = {
    **JSON,
    "no source": put("source", value=""),
    "source of another type": put("source", value=5),
    "no classes": put("class_names", value=[]),
    "class twice": put("class_names", value=["cat", "cat", "owl"]),
    "counts of other classes": put("counts", "train", value=[1]),
    "counts below 0": put("counts", "train", value=[-1, 2, 3]),
    "decoding to nothing": put("decoding", "height", value=0),
    "decoding unknown": put("decoding", "version", value=99),
    "split that is a list": put("split", "train", value=[]),
    "hash that is a number": put("split", "test", value={"a.png": 5}),
}
# What is wrong with these is seen when the images are read.
SOURCES: dict[str, Damage] = {
    "source that is not there": put("source", value="/nowhere/at/all"),
    "source with a zero": put("source", value="a\0b"),
    "source that is a device": put("source", value="/dev/zero"),
    "source that is long": put("source", value="a" * 5000),
    "images of others": put("split", "test", value={"a.png": "0" * 32}),
}
EVALUATION: dict[str, Damage] = {
    **JSON,
    "no test": lambda path: _without(path, "test"),
    "accuracy above 1": put("test", "accuracy", value=5.0),
    "accuracy that is text": put("validation", "accuracy", value="much"),
    "no images": put("test", "n", value=0),
    "openings below 1": put("test", "openings", value=-3),
    "no verdict": put("overfitting", value={}),
    "damaged verdict": put("overfitting", "curves", value={"turn": "x"}),
    "interval of one": put("test", "accuracy_ci95", value=[0.5]),
}
HEAD = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate\n"
HISTORY: dict[str, Damage] = {
    **IN_ITS_PLACE,
    "head alone": written(HEAD),
    "other columns": written("a,b\n1,2\n"),
    "more columns": written(f"{HEAD}1,1,1,1,1,1,1,1\n"),
    "text": written(f"{HEAD}1,a,b,c,d,e\n"),
    "not a number": written(f"{HEAD}1,nan,1,1,1,1\n"),
    "long number": written(f"{HEAD}{'9' * 5000},1,1,1,1,1\n"),
    "epochs that jump": written(f"{HEAD}7,1,1,1,1,1\n"),
    "long field": written(f"{HEAD}{'x' * 200_000},1,1,1,1,1\n"),
    "sparse": sparse,
}
RATES: dict[str, Damage] = {
    **JSON,
    "no sweeps": put("sweeps", value=[]),
    "sweeps that are numbers": put("sweeps", value=[1]),
    "fewer losses": put("sweeps", 0, "losses", value=[1.0]),
    "rate below 0": put("chosen", value=-1.0),
}
ENVIRONMENT: dict[str, Damage] = {
    **JSON,
    "versions that are a list": put("versions", value=[]),
    "memory that is text": put("peak_memory_bytes", value="much"),
}


def card(**changes: Any) -> Damage:
    """Another card in ``model.keras``."""

    def damage(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        content = {**json.loads(members[folder.MODEL_CARD]), **changes}
        content = {name: value for name, value in content.items() if value is not ...}
        members[folder.MODEL_CARD] = json.dumps(content).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, member in members.items():
                archive.writestr(name, member)

    return damage


def large_card(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(folder.MODEL_CARD, b" " * 10**9)


MODEL: dict[str, Damage] = {
    **IN_ITS_PLACE,
    "cut": cut,
    "card without classes": card(class_names=...),
    "card with a number for classes": card(class_names=5),
    "card of one class": card(class_names=["cat"]),
    "card with a class twice": card(class_names=["cat", "cat", "owl"]),
    "card of more classes": card(class_names=["cat", "dog", "owl", "fox"]),
    "card without decoding": card(decoding=...),
    "card with a version that is text": card(version="x"),
    "card with a temperature of 0": card(temperature=0),
    "large card": large_card,
}
LOGS: dict[str, Damage] = {
    **JSON,
    "tensorboard that is text": written('{"tensorboard": "yes"}'),
    "mlflow that is text": written('{"mlflow": "http://127.0.0.1:9"}'),
    "run that leads out": written('{"mlflow": {"run_id": "../../x"}}'),
    "run of another type": written('{"mlflow": {"run_id": 5}}'),
}
EXPORTS: dict[str, Damage] = {
    **JSON,
    "entry that is a number": written("[1]"),
    "entry without a sentence": written('[{"format": "keras", "path": "model.keras"}]'),
    "object": written("{}"),
}
# An empty or cut list is what other damages make.
del EXPORTS["null"]


def _without(path: Path, key: str) -> None:
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))


FILES: dict[str, tuple[dict[str, Damage], tuple[str, ...]]] = {
    folder.CONFIG: (YAML, ("report", "evaluate", "resume", "compare", "export")),
    folder.DATA: (DATA, ("report", "evaluate", "resume", "compare", "export")),
    folder.HISTORY: (HISTORY, ("report", "evaluate", "compare", "export")),
    folder.EVALUATION: (EVALUATION, ("evaluate", "report", "compare", "export")),
    folder.PREDICTIONS: (PREDICTIONS, ("report", "compare", "export")),
    folder.FOLDS: (FOLDS, ("report", "compare")),
    folder.RATES: (RATES, ("report", "evaluate", "resume")),
    folder.ENVIRONMENT: (ENVIRONMENT, ("export",)),
    folder.MODEL: (MODEL, ("report", "evaluate", "compare", "export", "explain", "predict")),
    folder.LOGS: (LOGS, ("resume",)),
    RECORD: (EXPORTS, ("export",)),
}
# Every damage with the first of the commands, and these with every other. In the long tests: the last two of them with
# the others, and every second damage of one file alone, which other tests of its reader make as well.
FOR_ALL = ("link", "folder", "binary")
CASES = [
    pytest.param(
        name,
        damage,
        command,
        id=f"{name}-{what}-{command}",
        marks=[pytest.mark.long]
        if (command != commands[0] and what in FOR_ALL[1:]) or (what not in FOR_ALL and number % 2)
        else [],
    )
    for name, (damages, commands) in FILES.items()
    for number, (what, damage) in enumerate(damages.items())
    for command in commands
    if command == commands[0] or what in FOR_ALL
]


@pytest.mark.parametrize(("name", "damage", "command"), CASES)
def test_a_damaged_file_is_a_line_with_its_name(here: Path, name: str, damage: Damage, command: str) -> None:
    if command == "compare":
        shutil.copytree(here / "run", here / "whole")
    damage(here / "run" / name)
    result = asked(command, here)
    refused(result, Path(name).name)
    if command == "resume":
        assert (here / "run" / folder.EVALUATION).is_file(), "a run that cannot go on stays what it was"


@pytest.mark.parametrize("command", ["report", "resume"])
@pytest.mark.parametrize("what", SOURCES)
def test_a_source_that_is_not_that_of_the_run_is_a_line(here: Path, what: str, command: str) -> None:
    SOURCES[what](here / "run" / folder.DATA)
    refused(
        asked(command, here),
        "pictures",
        "nowhere",
        "neither a named set",
        "/dev/zero",
        "longer than",
        "predictions",
    )


def test_a_list_of_runs_says_which_ones_are_damaged(here: Path) -> None:
    """All of them in one folder, each damaged in another way."""
    listed = here / "whole"
    shutil.copytree(here / "outside", listed / "outside")  # where the links lead
    cases = {
        f"run-{name}-{number}": (name, what)
        for name in (folder.CONFIG, folder.DATA, folder.EVALUATION)
        for number, what in enumerate(FILES[name][0])
    }
    for run, (name, what) in cases.items():
        shutil.copytree(here / "run", listed / run)
        FILES[name][0][what](listed / run / name)
    result = run_cli("runs", "whole", "--json", cwd=here, home=here / "home")
    assert result.code == 0, result.err
    rows = {Path(row["run"]).name: row for row in result.json["runs"]}
    for run, (name, what) in cases.items():
        if name == folder.CONFIG and what == "link to nothing":
            assert run not in rows
        elif what != "damaged verdict":  # which a list does not read
            assert rows[run]["status"] in ("damaged", "unreadable"), (what, rows[run])
            assert name in rows[run]["reason"], what
            assert len(rows[run]["reason"].splitlines()) == 1, what


# Links in place of what is written.


LINKS = [folder.CHECKPOINTS, folder.EXPORTS, folder.TENSORBOARD, folder.REPORT, folder.TIMING]


@pytest.mark.parametrize(
    ("name", "command"),
    [(name, "resume") for name in LINKS]
    + [(folder.EXPORTS, c) for c in ("report", "evaluate", "compare", "export", "explain", "predict")],
)
def test_a_link_in_place_of_what_a_run_writes_is_refused(here: Path, name: str, command: str) -> None:
    if command == "compare":
        shutil.copytree(here / "run", here / "whole")
    path = here / "run" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to("../outside" if "." not in name else "../outside/any.json")
    refused(asked(command, here), name)


@pytest.mark.parametrize("name", ["export.json", "MODEL_CARD.md", "model.keras"])
def test_a_link_in_the_folder_of_exports_is_refused(here: Path, name: str) -> None:
    path = here / "run" / folder.EXPORTS / name
    path.unlink()
    path.symlink_to("../../outside/any.json")
    refused(asked("export", here), name)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_link_among_the_logs_ends_the_log_and_not_the_run(here: Path, part: str) -> None:
    path = here / "run" / folder.TENSORBOARD / part
    shutil.rmtree(path)
    path.symlink_to("../../outside")
    result = asked("resume", here)
    assert result.code == 0, result.err
    assert "TensorBoard has failed" in " ".join(result.out.split())


def test_only_leftovers_by_our_names_are_removed(here: Path) -> None:
    ours = [".report-k2_x81ab.html", f"{folder.CHECKPOINTS}/.000001-000000000-k2_x81ab.ckpt"]
    others = [
        ".bashrc-old",
        ".report-1.html",
        f"{folder.CHECKPOINTS}/.git-credentials",
        ".report-k2_x81ab.sh",
    ]
    for name in (*ours, *others):
        (here / "run" / name).write_text("dear")
    (here / "run" / ".model-k2_x81ab.keras").symlink_to("../outside/any.json")
    assert asked("resume", here).code == 0
    assert not [name for name in ours if (here / "run" / name).exists()]
    assert all((here / "run" / name).read_text() == "dear" for name in others)
    assert (here / "run" / ".model-k2_x81ab.keras").is_symlink()


def test_a_folder_makes_no_connection_and_no_database(here: Path) -> None:
    database = here / "run" / "mlflow.db"
    (here / "run" / folder.LOGS).write_text(
        json.dumps({"mlflow": {"uri": f"sqlite:///{database}", "run_id": "0" * 32}})
    )
    result = asked("resume", here)
    assert result.code == 0, result.err
    assert "To go on there, name the server with --mlflow" in " ".join(result.out.split())
    assert not database.exists()


def test_the_name_of_a_folder_does_not_become_code(here: Path) -> None:
    name = 'x"""\nimport os\nos.mkdir("pwned")\n"""'
    (here / "run").rename(here / name)
    result = run_cli("export", name, "--format", "script", "--out", "run", cwd=here, home=here / "home")
    (here / name).rename(here / "whole")
    assert result.code == 0, result.err
    text = (here / "run" / "script" / "train.py").read_text()
    compile(text, "train.py", "exec")
    assert not any(line.startswith("os.mkdir") for line in text.splitlines())


# Checkpoints whose hash is right.


def checkpoint(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> None:
    """Writes another checkpoint, whole and with its hash."""
    head, _, payload = path.read_bytes().split(b"\n", 2)
    with np.load(io.BytesIO(payload)) as archive:
        content = {name: archive[name] for name in archive.files}
    text = json.loads(content.pop("text").tobytes())
    change(text, content)
    out = io.BytesIO()
    np.savez(out, **content, text=np.frombuffer(json.dumps(text).encode(), np.uint8))
    path.write_bytes(
        head + b"\n" + hashlib.sha256(out.getvalue()).hexdigest().encode() + b"\n" + out.getvalue()
    )


# These do not fit the network of the run.
MISFITS: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray]], None]] = {
    "no variables": lambda text, content: content.clear(),
    "fewer variables": lambda text, content: content.__delitem__("model/00000"),
    "other shape": lambda text, content: content.update({"model/00000": np.zeros((7, 7), np.float32)}),
    "text": lambda text, content: content.update({"model/00000": np.array(["a"])}),
    "no optimizer": lambda text, content: text.update(kinds=["model"]),
    "other specification": lambda text, content: text["about"]["specification"]["training"].update(seed=9),
}
# These are none, so the one before is used; here there is none.
NO_CHECKPOINTS: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray]], None]] = {
    "epoch that is text": lambda text, content: text.update(epoch="x"),
    "epoch below 0": lambda text, content: text.update(epoch=-1),
    "more epochs than rows": lambda text, content: text.update(epoch=99),
    "unknown kind": lambda text, content: text.update(kinds=["secret"]),
    "nothing about it": lambda text, content: text.update(about={}),
    "about a number": lambda text, content: text.update(about=5),
    "no epochs": lambda text, content: text["about"].update(specification={}),
    "row of another type": lambda text, content: text.update(history=[1, 2]),
    "running that is a list": lambda text, content: text.update(running=[]),
}


@pytest.mark.parametrize("what", MISFITS)
def test_a_checkpoint_of_another_network_is_a_line(here: Path, what: str) -> None:
    checkpoint(here / "run" / CHECKPOINT, MISFITS[what])
    refused(asked("resume", here), "heckpoint", "specification")


@pytest.mark.parametrize("what", NO_CHECKPOINTS)
def test_a_checkpoint_that_is_none_is_left_out(here: Path, what: str) -> None:
    from conviction.runs.checkpoints import read_checkpoint

    checkpoint(here / "run" / CHECKPOINT, NO_CHECKPOINTS[what])
    read = read_checkpoint(here / "run")
    assert read is not None
    assert read[0].epoch == 1
    assert [path.name for path in read[2]] == [Path(CHECKPOINT).name]


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_no_checkpoint_is_a_line(here: Path, what: str) -> None:
    IN_ITS_PLACE[what](here / "run" / CHECKPOINT)
    refused(asked("resume", here), Path(CHECKPOINT).name)


# Studies.

SMALL = ["recipe=lab", "model.filters=[4]", "model.dense=[8]", "training.epochs=2"]
EXPLORE = ["explore", "pictures", *SMALL, "--vary", "model.filters=[4],[6]", "--seeds", "1", "--out", "study"]


def line(**changes: Any) -> Damage:
    """Another first line in ``trials.jsonl``."""

    def damage(path: Path) -> None:
        first, *rest = path.read_text().splitlines()
        content = json.loads(first)
        for name, value in changes.items():
            inner, *keys = [content, *name.split("__")]
            for key in keys[:-1]:
                inner = inner[key]
            inner[keys[-1]] = value
        path.write_text("\n".join([json.dumps(content), *rest]) + "\n")

    return damage


def lines(text: str) -> Damage:
    return written(f"{text}\n")


TRIALS: dict[str, Damage] = {
    "folder": a_folder,
    "link": a_link,
    "link to nothing": a_link_to_nothing,
    "pipe": a_pipe,
    "binary": written(b"\x00\xff\xfe{[\n" * 50),
    "number": lines("5"),
    "list": lines("[]"),
    "deep": lines("[" * 100_000),
    "number that is none": lines('{"a": NaN}'),
    "long number": lines("9" * 5000),
    "object": lines("{}"),
    "key of another type": line(key=5),
    "key without a seed": line(key="x"),
    "seed that is long": line(key="x/" + "9" * 5000),
    "neither value nor failure": line(value=None),
    "value that is a list": line(value=[]),
    "no history": line(value__history=[]),
    "history of numbers": line(value__history=[1]),
    "history that jumps": line(value__history__0={"epoch": 3}),
    "epoch that is none": line(value__kept_epoch=99),
    "no images": line(value__validation_images=0),
    "seconds below 0": line(value__seconds=-1),
    "failure of another type": line(failure=5),
    "sparse": sparse,
}
# A key of a list is a number.
TRIALS["history that jumps"] = line(value__history=[{"epoch": 3}])
DESIGN = {what: damage for what, damage in JSON.items() if what not in ("empty",)} | {
    "other kind": written('{"kind": "search"}'),
    "long differences": written(json.dumps({"kind": "x" * 100_000})),
}


@pytest.mark.parametrize(
    ("name", "what"), [("trials.jsonl", what) for what in TRIALS] + [("design.json", what) for what in DESIGN]
)
def test_a_damaged_study_is_a_line_with_its_name(here: Path, name: str, what: str) -> None:
    (TRIALS if name == "trials.jsonl" else DESIGN)[what](here / "study" / name)
    refused(run_cli(*EXPLORE, cwd=here, home=here / "home"), name, "another design")


@pytest.mark.parametrize("name", ["report.html", "result.json", "epochs.json"])
def test_a_link_in_place_of_what_a_study_writes_is_refused(here: Path, name: str) -> None:
    (here / "study" / name).unlink(missing_ok=True)
    (here / "study" / name).symlink_to("../outside/any.json")
    refused(run_cli(*EXPLORE, cwd=here, home=here / "home"), name)


def test_a_study_that_ended_before_it_began_is_begun_again(here: Path) -> None:
    for path in (here / "study").iterdir():
        path.unlink()
    (here / "study" / ".design-k2_x81ab.json").write_text("half")
    result = run_cli(*EXPLORE, cwd=here, home=here / "home")
    assert result.code == 0, result.err
    assert not (here / "study" / ".design-k2_x81ab.json").exists()


def database(statement: str) -> Damage:
    def damage(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return damage


SEARCHES: dict[str, Damage] = {
    **IN_ITS_PLACE,
    "cut": cut,
    "value of another type": database(
        "update trial_user_attributes set value_json = '5' where key = 'value'"
    ),
    "value that is an object": database(
        "update trial_user_attributes set value_json = '{}' where key = 'value'"
    ),
    "no JSON": database("update trial_user_attributes set value_json = '{' where key = 'keys'"),
    "keys that are a list": database("update trial_user_attributes set value_json = '[]' where key = 'keys'"),
    "design of another type": database(
        "update study_user_attributes set value_json = '5' where key = 'design'"
    ),
    "confirmed that is a list": database(
        "update study_user_attributes set value_json = '[1]' where key = 'confirmed'"
    ),
    "confirmed of numbers": database(
        "update study_user_attributes set value_json = '{\"base/1000\": 5}' where key = 'confirmed'"
    ),
    "state that is none": database("update trials set state = 'SECRET'"),
}
del SEARCHES["empty"]  # an empty database is a new one
TUNE = [
    "tune",
    "pictures",
    *SMALL,
    "--trials",
    "2",
    "--confirm",
    "1",
    "--no-test",
    "--out",
    "study",
    "--jobs",
    "1",
]


@pytest.fixture(scope="module")
def searched(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(path: Path) -> None:
        shutil.copytree(made / "pictures", path / "pictures")
        done = run_cli(*TUNE, cwd=path, home=path / "home")
        assert done.code == 0, done.err

    return made_once(tmp_path_factory, "searched", make)


@pytest.mark.parametrize("what", SEARCHES)
def test_a_damaged_search_is_a_line_with_its_name(here: Path, searched: Path, what: str) -> None:
    shutil.rmtree(here / "study")
    shutil.copytree(searched / "study", here / "study")
    SEARCHES[what](here / "study" / "study.db")
    refused(run_cli(*TUNE, cwd=here, home=here / "home"), "study.db", "another request")
