"""An experiment that is watched: what is finished counts, and what is being written is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conviction.errors import RunFileError
from conviction.experiments.store import read_trials, watch_trials
from conviction.web.jobs.progress import RunWatcher


def trial(key: str, *accuracies: float) -> str:
    rows = [
        {"epoch": n, "loss": 0.5, "accuracy": 0.8, "val_loss": 0.5, "val_accuracy": a, "learning_rate": 0.001}
        for n, a in enumerate(accuracies, 1)
    ]
    value = {"history": rows, "seconds": 1.0, "params": 9, "multiply_adds": 9, "validation_images": 9}
    failure = None if accuracies else "it took too long"
    return json.dumps(
        {"key": key, "value": value if accuracies else None, "failure": failure, "seconds": 1.0}
    )


@pytest.fixture
def study(tmp_path: Path) -> Path:
    arms = [["pooling", "3x3 pooling", "cc"], ["pooling", "average pooling", None], ["pooling", "max", "aa"]]
    (tmp_path / "design.json").write_text(json.dumps({"arms": arms, "base": "aa", "seeds": 2}))
    lines = [trial("aa/0", 0.5, 0.7), trial("cc/0", 0.4, 0.6), trial("aa/1", 0.55, 0.75), trial("cc/1")]
    (tmp_path / "trials.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_curves_are_those_of_each_arm_whose_trials_are_done(study: Path) -> None:
    status = RunWatcher().study(study)
    assert (status.done, status.trials, status.result, status.trouble) == (4, 4, None, "")
    # An arm that is the base itself has its curves; one that cannot be tried has no place; a failure has no curve.
    assert status.curves == {
        "base": [[0.5, 0.7], [0.55, 0.75]],
        "3x3 pooling": [[0.4, 0.6]],
        "max": [[0.5, 0.7], [0.55, 0.75]],
    }


def test_a_line_that_is_being_written_is_left_alone(study: Path) -> None:
    file = study / "trials.jsonl"
    with file.open("a") as more:
        more.write(trial("cc/1", 0.4, 0.6)[:50])
    before = file.read_bytes()
    assert list(watch_trials(study)) == ["aa/0", "cc/0", "aa/1", "cc/1"]
    assert file.read_bytes() == before
    # By the process that goes on with the study it is removed.
    assert list(read_trials(study)) == ["aa/0", "cc/0", "aa/1", "cc/1"]
    assert file.read_bytes() == before[: before.rfind(b"\n") + 1]


def test_a_study_without_trials_has_no_curves_and_a_damaged_one_says_so(study: Path) -> None:
    (study / "trials.jsonl").write_text("{}\n")
    with pytest.raises(RunFileError, match="line 1 is damaged"):
        watch_trials(study)
    assert "line 1 is damaged" in RunWatcher().study(study).trouble
    # What was found stands without the curves.
    (study / "result.json").write_text(json.dumps({"arms": [], "untried": [], "about": []}))
    status = RunWatcher().study(study)
    assert (status.trouble, status.curves) == ("", {})
    assert status.result is not None
    (study / "result.json").unlink()
    (study / "trials.jsonl").unlink()
    assert watch_trials(study) == {}
    assert RunWatcher().study(study).curves == {"base": [], "3x3 pooling": [], "max": []}
