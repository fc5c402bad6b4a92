"""Every example of the README and the documentation is run; keys, commands, targets and links are true."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conviction.config import RECIPES, Recipe, keys, load_recipe
from conviction.data import NAMED_SETS
from conviction.exercises.catalogue import exercise_named
from conviction.experiments import QUESTIONS
from conviction.flow.export import known_formats
from conviction.runs import folder
from conviction.web.classroom import load_course
from tests.conftest import environment, flowers, run_cli
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent
SITE = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md") if p.parent.name != "decisions")
ALL_PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *SITE]
# Those with examples to run; a notebook is run as one, by tests/test_install.py.
PAGES = [
    page
    for page in ["README.md", *SITE]
    if re.search("^```(sh|python|yaml)", (ROOT / page).read_text(), re.M)
    and not (ROOT / page).with_suffix(".ipynb").exists()
]
COMMANDS = {
    "fit",
    "resume",
    "evaluate",
    "report",
    "compare",
    "inspect",
    "cache",
    "summary",
    "explain",
    "keys",
    "mistakes",
    "suspects",
    "threshold",
    "export",
    "serve",
    "predict",
    "runs",
    "doctor",
    "learn",
    "exercise",
    "lab",
    "explore",
    "tune",
}


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """(language, content) of each fenced block, in order."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_files_of_a_run_are_those_of_the_readme(trained: Path) -> None:
    listed = (ROOT / "README.md").read_text().partition("## What a run leaves")[2].partition("\n## ")[0]
    assert dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", listed, flags=re.MULTILINE)) == folder.FILES
    made = {f"{p.name}/" if p.is_dir() else p.name for p in trained.iterdir()}
    assert made <= set(folder.FILES)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """What the examples take for granted: a reader's own pictures, and what a class has handed in."""
    flowers(tmp_path / "flowers")
    (tmp_path / "scans").mkdir()
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "scans" / "3.png")
    (tmp_path / "submissions" / "Ada").mkdir(parents=True)
    (tmp_path / "submissions" / "Ada" / "03_normalise.py").write_text(exercise_named("normalise")[1].source)
    return tmp_path


def shell(desk: Path, line: str) -> None:
    assert line.startswith("conviction "), f"{line!r} is neither run nor known not to be"
    if line.startswith(("conviction serve", "conviction lab")):
        serve(desk, line)
        return
    # Where training is spread it runs on JAX, and what forks has imported TensorFlow.
    afresh = "--workers" in line
    done = run_cli(*shlex.split(line)[1:], cwd=desk, home=desk / "home", afresh=afresh)
    assert done.code == 0, f"{line}\n{done.err}"


def run_python(content: str, desk: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", content],
        cwd=desk,
        env=environment(desk / "home"),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{content}\n{done.stderr}"


def serve(desk: Path, line: str) -> None:
    """Starts it, waits until it says that it is ready, and ends it."""
    quiet = ["--no-browser"] if line.startswith("conviction lab") else []
    with subprocess.Popen(
        [sys.executable, "-m", *shlex.split(line), "--port", "0", *quiet],
        cwd=desk,
        env=environment(desk / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    assert "http://127.0.0.1:" in said, f"{line}\n{errors}"
    assert process.returncode == 0


# Most have a dozen trainings or more, which the core of the tests has no time for. Those of two pages take a tenth of
# all tests: six clusters, and four networks that others have trained; other tests run the same verbs.
DEAR = ("docs/scale.md", "docs/how-to/backbones.md")


@pytest.mark.full
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.long) if page in DEAR else page for page in PAGES],
)
def test_every_example_runs(page: str, desk: Path) -> None:
    for language, content in blocks(page):
        if language == "sh":
            for line in content.splitlines():
                if not line.startswith(("make ", "pip ")):
                    shell(desk, line)
        elif language == "yaml":
            if content.startswith("title:"):
                (desk / "course.yaml").write_text(content)
                assert load_course(desk / "course.yaml").title
                continue
            (desk / "my.yaml").write_text(content)
            assert isinstance(load_recipe([], desk / "my.yaml"), Recipe)
        elif language == "python":
            run_python(content, desk)
        else:
            assert language == "text"


def test_the_pages_that_are_made_from_the_program_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs.py", "--check"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_first_commands_are_make_demo_and_make_test() -> None:
    first = next(content for language, content in blocks("README.md") if language == "sh")
    assert first.split("\n")[:2] == ["make demo", "make test"]


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in ALL_PAGES:
        for name in re.findall(r"`?\bmake ([a-z-]+)`", (ROOT / page).read_text()):
            assert name in targets, f"{page} names make {name}"


def test_the_table_of_keys_is_the_specification() -> None:
    table = (ROOT / "docs/reference/keys.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*?) \|", table, flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(keys())
    for name, default in rows:
        quoted = re.fullmatch(r"`(.*)`", default)
        if quoted and name != "recipe":
            assert load_recipe(["recipe=lab", f"{name}={quoted[1]}"]) == load_recipe(["recipe=lab"]), name


def test_every_named_set_recipe_format_and_question_is_named() -> None:
    text = "\n".join((ROOT / page).read_text() for page in PAGES)
    for name in (*NAMED_SETS, *RECIPES, *known_formats(), *QUESTIONS):
        assert f"`{name}`" in text, f"no page names {name}"


def test_links_lead_somewhere() -> None:
    for page in ALL_PAGES:
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("http"):
                continue
            path, _, anchor = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            assert file.exists(), f"{page} links to {target}"
            if anchor:
                heads = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
                slugs = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in heads}
                assert anchor in slugs, f"{page} links to {target}"


def test_commands_that_are_named_exist() -> None:
    for page in ALL_PAGES:
        text = (ROOT / page).read_text()
        for name in re.findall(r"`conviction ([a-z]+)\b", text):
            assert name in COMMANDS, f"{page} names conviction {name}"
