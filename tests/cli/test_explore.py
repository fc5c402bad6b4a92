"""``conviction explore`` in a process of its own, with real trainings of small networks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conviction.errors import Interrupted
from conviction.experiments.request import going_on
from conviction.experiments.store import read_design, read_result
from tests.conftest import Cli, environment, run_cli
from tests.patience import PATIENCE

SMALL = ["digits", "training.epochs=2", "model.filters=[4,4]", "model.dense=[16]", "training.batch_size=128"]
ASKED = [
    *SMALL,
    "training.learning_rate=0.01",
    "--vary",
    "training.learning_rate=0.01,0.00001",
    "--seeds",
    "3",
]


def without_time(result: dict[str, object]) -> str:
    text = json.dumps({k: v for k, v in result.items() if k != "folder"})
    text = re.sub(r'"seconds": \[[^\]]*\]', "", text)
    return re.sub(r", [\d.e+]+ times the time", "", text)


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("explored")
    done = run_cli("explore", *ASKED, "--out", "one", "--jobs", "2", cwd=place, home=place / "home")
    assert done.code == 0, done.err
    assert done.err == ""
    (place / "out.txt").write_text(done.out)
    return place


def test_a_planted_difference_is_found_and_said(explored: Path) -> None:
    result = json.loads((explored / "one" / "result.json").read_text())
    assert len(result["arms"]) == 1  # the base's own rate is no arm
    (arm,) = result["arms"]
    assert arm["detected"]
    assert arm["accuracy"]["high"] < 0
    said = " ".join((explored / "out.txt").read_text().split())
    assert "worse than the base" in said
    assert "1 times the parameters" in said
    assert "over splits and seeds" in said
    base = result["base"]
    assert len(base["accuracy"]) == 3
    assert np.std(base["accuracy"]) > 0
    differences = np.subtract(arm["arm"]["accuracy"], base["accuracy"])
    assert arm["accuracy"]["mean"] == pytest.approx(differences.mean())


def test_what_a_study_keeps_is_read_back(explored: Path) -> None:
    design, result = read_design(explored / "one"), read_result(explored / "one")
    assert design is not None
    assert design.trials == 6
    assert design.seeds == 3
    assert result is not None
    (arm,) = json.loads((explored / "one" / "result.json").read_text())["arms"]
    (kept,) = result.arms
    assert (kept.label, kept.sentence, kept.detected) == (arm["arm"]["label"], arm["sentence"], True)
    assert kept.accuracy.model_dump() == {k: arm["accuracy"][k] for k in ("mean", "low", "high")}
    assert read_design(explored) is None


def test_the_test_set_stays_sealed_and_images_are_taken_away(explored: Path) -> None:
    assert not (explored / "home" / "openings.jsonl").exists()
    assert sorted(p.name for p in (explored / "one").iterdir()) == [
        "design.json",
        "report.html",
        "result.json",
        "trials.jsonl",
    ]


@pytest.mark.full
def test_jobs_do_not_change_the_result(explored: Path, cli: Cli) -> None:
    again = cli("explore", *ASKED, "--jobs", "1", "--json")
    assert again.code == 0, again.err
    one = json.loads((explored / "one" / "result.json").read_text())
    assert without_time(again.json) == without_time(one)
    trials = [
        {
            json.loads(line)["key"]: json.loads(line)["value"]["history"]
            for line in path.read_text().splitlines()
        }
        for path in (explored / "one" / "trials.jsonl", Path(again.json["folder"]) / "trials.jsonl")
        if path.is_file()
    ]
    assert trials[0] == trials[-1]


def test_a_finished_study_is_not_run_again(explored: Path) -> None:
    before = (explored / "one" / "trials.jsonl").read_bytes()
    done = run_cli("explore", *ASKED, "--out", "one", cwd=explored, home=explored / "home")
    assert done.code == 0, done.err
    assert "6 of 6 runs are already finished" in done.out
    assert (explored / "one" / "trials.jsonl").read_bytes() == before


def kill_and_go_on(place: Path, kills: int, asked: list[str]) -> tuple[list[str], int]:
    """Kills the command when one more trial is done, so often; the keys of all lines at the end, and the kills made."""
    command = [sys.executable, "-m", "conviction", "explore", *asked, "--out", "one", "--jobs", "2"]
    made = 0
    while True:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=environment(place / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        if made < kills:
            for line in process.stdout:
                if "seed" in line and "validation accuracy" in line:
                    process.kill()
                    break
        _, said = process.communicate(timeout=PATIENCE)
        if process.returncode != -signal.SIGKILL:
            break
        made += 1
    assert process.returncode == 0, said
    lines = (place / "one" / "trials.jsonl").read_text().splitlines()
    return [json.loads(line)["key"] for line in lines], made


@pytest.mark.full
def test_killed_in_mid_study_no_trial_is_lost_or_run_twice(explored: Path, tmp_path: Path) -> None:
    keys, made = kill_and_go_on(tmp_path, 2, ASKED)
    assert made == 2
    assert len(keys) == len(set(keys)) == 6
    results = [json.loads((p / "one" / "result.json").read_text()) for p in (tmp_path, explored)]
    assert without_time(results[0]) == without_time(results[1])
    assert not list((tmp_path / "one").glob(".images-*"))


@pytest.mark.full
@pytest.mark.long
def test_many_kills(tmp_path: Path) -> None:
    """Each is another start of three processes that import TensorFlow, so continuous integration makes a few."""
    kills = int(os.environ.get("CONVICTION_TEST_KILLS", "5"))
    keys, made = kill_and_go_on(tmp_path, kills, [*ASKED[:-1], "12"])
    assert made == kills
    assert len(keys) == len(set(keys)) == 24


@pytest.mark.full
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_it_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "conviction", "explore", *ASKED, "--jobs", "1", "--out", "one"],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    assert "to continue, run the same command with --out one." in said
    assert len(said.strip().splitlines()) == 1


def test_a_signal_that_a_library_wraps_is_still_one() -> None:
    """Pydantic makes an error of its own of an interrupt that comes while it calls back."""

    def call_back() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("Error calling function: KeyboardInterrupt") from None

    with pytest.raises(Interrupted, match="to continue") as found, going_on(Path("one")):
        call_back()
    assert found.value.exit_code == 130
    with pytest.raises(ValueError, match="own"), going_on(Path("one")):
        int("its own")


def test_another_request_in_the_same_folder_is_refused_with_the_difference(explored: Path) -> None:
    asked = [*SMALL, "--vary", "training.learning_rate=0.01", "--out", "one"]
    done = run_cli("explore", *asked, cwd=explored, home=explored / "home")
    assert done.code == 2
    assert "another design" in done.err
    assert "seeds was 3 and is 5" in done.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["digits"], "nothing to vary"),
        (["digits", "--question", "kernels"], "Did you mean 'kernel'"),
        (["digits", "--vary", "data.validation=0.1,0.2"], "Vary something else"),
        (["digits", "--vary", "training.seed=1,2"], "Vary something else"),
        (["digits", "data.folds=5", "--vary", "data.fold=1,2"], "train it with evaluation.folds=5"),
        (["digits", "--vary", "evaluation.folds=3x1,5x1"], "Vary something else"),
        (["digits", "evaluation.folds=5x2", "--question", "kernel"], "Leave out evaluation.folds"),
        (["digits", "--question", "kernel", "--seeds", "0"], "--seeds: expected at least 1"),
        (["digits", "--question", "kernel", "--jobs", "0"], "--jobs: expected at least 1"),
        (["digits", "--question", "kernel", "--budget", "0"], "--budget"),
        (["nothing", "--question", "kernel"], "nothing"),
    ],
)
def test_wrong_requests_write_nothing(cli: Cli, tmp_path: Path, arguments: list[str], reason: str) -> None:
    result = cli("explore", *arguments)
    assert result.code == 2
    assert reason in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "explorations").exists()


@pytest.mark.full
def test_what_does_not_fit_is_said_and_the_rest_is_run(cli: Cli) -> None:
    result = cli(
        "explore", *SMALL, "data.image_size=12", "--vary", "model.kernel_size=2,9", "--seeds", "1", "--json"
    )
    assert result.code == 0, result.err
    assert [a["arm"]["label"] for a in result.json["arms"]] == ["model.kernel_size=2"]
    (untried,) = result.json["untried"]
    assert "larger than its input" in untried["reason"]
    assert "shows nothing yet" in result.json["arms"][0]["sentence"]
    assert result.json["arms"][0]["accuracy"]["low"] is None


@pytest.mark.full
def test_equal_seconds_give_the_cheaper_arm_more_epochs(cli: Cli, tmp_path: Path) -> None:
    # Far apart, because a machine that does other work measures either of them several times too long.
    base = ["data.image_size=48", "model.filters=[64,64]", "model.dense=[16]"]
    keys = ["digits", *base, "--vary", "model.filters=[2,2]"]
    result = cli(
        "explore", *keys, "--seeds", "2", "--equal-seconds", "3", "--jobs", "1", "--out", "one", "--json"
    )
    assert result.code == 0, result.err
    (arm,) = result.json["arms"]
    assert len(arm["arm"]["curve"]) > len(result.json["base"]["curve"]) >= 1
    assert "fit into 3 seconds" in result.json["about"][0]
    measured = (tmp_path / "one" / "epochs.json").read_bytes()
    again = cli(
        "explore", *keys, "--seeds", "2", "--equal-seconds", "3", "--jobs", "1", "--out", "one", "--json"
    )
    assert again.json == result.json
    assert (tmp_path / "one" / "epochs.json").read_bytes() == measured


@pytest.mark.full
def test_where_every_run_failed_nothing_was_found_and_the_same_request_tries_again(tmp_path: Path) -> None:
    asked = ["explore", *ASKED[:-2], "--seeds", "1", "--jobs", "1", "--out", "one"]
    failed = run_cli(*asked, "--limit", "0.01", "--json", cwd=tmp_path, home=tmp_path / "home")
    assert failed.code == 1
    assert failed.err.splitlines()[-1].startswith("conviction: No seed of the base finished")
    assert "2 failed: took longer than 0.01 seconds" in failed.json["error"]["message"]
    assert "--limit" in failed.json["error"]["message"]
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert (result["arms"], result["base"]["accuracy"]) == ([], [])
    assert "took longer than 0.01 seconds" in (tmp_path / "one" / "report.html").read_text()
    again = run_cli(*asked, cwd=tmp_path, home=tmp_path / "home")
    assert again.code == 0, again.err
    assert len(json.loads((tmp_path / "one" / "result.json").read_text())["arms"]) == 1


def test_an_exploration_without_arms_is_refused(tmp_path: Path) -> None:
    same = [*SMALL, "training.learning_rate=0.01", "--vary", "training.learning_rate=0.01", "--out", "one"]
    for asked, reason in (
        (same, "every arm equals the base"),
        ([*SMALL, "--vary", "model.kernel_size=99", "--out", "one"], "no arm fits the images"),
    ):
        refused = run_cli("explore", *asked, cwd=tmp_path, home=tmp_path / "home")
        assert (refused.code, len(refused.err.splitlines())) == (2, 1)
        assert reason in refused.err
        assert not (tmp_path / "one").exists()


UNGUARDED = """
import conviction
base = {"training.epochs": 1, "model.filters": [4, 4], "model.dense": [16], "training.batch_size": 128}
done = conviction.explore("digits", base, vary=["model.kernel_size=5"], seeds=1, out="study")
print(len(done.findings.arms), "arm")
"""


@pytest.mark.full
def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, "study.py"],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1 arm\n"), done.stderr


@pytest.mark.full
def test_a_claim_is_tested_as_it_was_measured(cli: Cli, tmp_path: Path) -> None:
    # Fewer images than it was measured with, which the request may say; all else is the claim's own.
    asked = ("digits", "--claim", "rate", "--seeds", "2", "--budget", "500", "--out", "claim")
    refused = cli("explore", *asked)
    assert refused.code == 2
    assert "no claim called 'rate'" in refused.err
    beside = cli("explore", "digits", "--claim", "low-rate", "--question", "kernel")
    assert beside.code == 2
    assert "leave out --question" in beside.err
    asked = (
        "digits",
        "--claim",
        "low-rate",
        "training.epochs=2",
        "--seeds",
        "2",
        "--budget",
        "500",
        "--out",
        "claim",
    )
    done = cli("explore", *asked)
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "A tenth of the lab's rate" in said
    assert "The claim is about the validation accuracy at the end." in said
    assert "You will read elsewhere" in said
    result = read_result(tmp_path / "claim")
    assert result is not None
    assert result.claim is not None
    assert (result.claim.name, result.claim.seeds) == ("low-rate", 2)
    trials = [json.loads(line) for line in (tmp_path / "claim" / "trials.jsonl").read_text().splitlines()]
    design = json.loads((tmp_path / "claim" / "design.json").read_text())
    assert [arm[:2] for arm in design["arms"]] == [["low-rate", "rate 0.0001"]]
    ends = {trial["key"]: trial["value"]["history"][-1] for trial in trials}
    ours, base = design["arms"][0][2], design["base"]
    for name, column in (("accuracy", "val_accuracy"), ("loss", "val_loss"), ("training_loss", "loss")):
        differences = [ends[f"{ours}/{seed}"][column] - ends[f"{base}/{seed}"][column] for seed in (0, 1)]
        assert result.claim.effects[name].mean == pytest.approx(np.mean(differences))
    rates = [end["learning_rate"] for key, end in ends.items() if key.startswith(base)]
    assert rates == pytest.approx([0.001, 0.001])
    assert "You will read elsewhere" in (tmp_path / "claim" / "report.html").read_text()
