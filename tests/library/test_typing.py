"""What an editor and a type checker make of a program that uses the library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import conviction
from tests.patience import PATIENCE

# Each line, and what mypy must say of it: the type of an expression, or the code of an error.
PROGRAM = {
    'run = conviction.fit("digits", {"training.epochs": 1}, show=None)': "",
    "reveal_type(run)": "conviction.library.run.Run",
    "reveal_type(run.evaluation.accuracy)": "float | None",
    "reveal_type(run.history)": "pandas.core.frame.DataFrame",
    'reveal_type(run.predict("scans").labels)': "list[str]",
    'reveal_type(run.compare("runs/other").pairs[0].difference_ci95)': "tuple[float, float]",
    'reveal_type(conviction.load_run(Path("runs")).data.class_names)': "list[str]",
    "reveal_type(conviction.list_runs())": "list[conviction.library.run.Run]",
    'reveal_type(conviction.inspect("digits").audit.findings)': "tuple[conviction.data.findings.Finding, ...]",
    'reveal_type(conviction.tune("digits").belief)': "conviction.experiments.belief.Belief",
    'conviction.fit("digits", epochs=3)': "call-arg",
    "conviction.fit()": "call-arg",
    'run.predictt("scans")': "attr-defined",
    "conviction.fitt": "attr-defined",
}


@pytest.mark.full
def test_mypy_knows_what_comes_back_and_what_is_wrong(tmp_path: Path) -> None:
    head = ["from pathlib import Path", "import conviction"]
    (tmp_path / "program.py").write_text("\n".join([*head, *PROGRAM]) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    answers = dict.fromkeys(range(len(head) + 1, len(head) + len(PROGRAM) + 1), "")
    pattern = r'^program\.py:(\d+): (?:note: Revealed type is "(.+)"|error: .*\[(.+)\])$'
    for number, revealed, error in re.findall(pattern, done.stdout, flags=re.MULTILINE):
        answers[int(number)] = revealed or error
    assert list(answers.values()) == list(PROGRAM.values()), done.stdout + done.stderr


def completions(program: str) -> set[str]:
    lines = program.splitlines()
    offered = jedi.Script(program).complete(len(lines), len(lines[-1]))
    return {c.name for c in offered if not c.name.startswith("_")}


def test_an_editor_offers_what_is_public() -> None:
    rooms = {p.stem for p in Path(conviction.__file__).parent.iterdir()}
    offered = completions("import conviction\nconviction.")
    public = {name for name in dir(conviction) if not name.startswith("_")}
    assert public <= offered
    assert offered - public <= rooms  # the submodules, which Python has as attributes


def test_an_editor_offers_the_verbs_of_what_a_function_returns() -> None:
    run = completions('import conviction\nrun = conviction.fit("digits")\nrun.')
    assert run >= {
        "predict",
        "evaluate",
        "explain",
        "mistakes",
        "compare",
        "export",
        "history",
        "plot_curves",
    }
    assert completions('import conviction\nconviction.inspect("x").') >= {"audit", "images"}
