"""``conviction learn`` as somebody at a terminal of 80 columns uses it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

import conviction
from conviction.lesson import TOPICS, chapters
from tests.conftest import Cli, environment
from tests.patience import PATIENCE


def talk(home: Path, said: str, *arguments: str) -> str:
    """The command with ``said`` as its input; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "conviction", "learn", *arguments],
        input=said,
        env=environment(home),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_topic_it_says_what_there_is_and_how_far_one_is(cli: Cli, tmp_path: Path) -> None:
    first = cli("learn")
    assert first.code == 0, first.err
    assert all(chapter.name in first.out for chapter in chapters())
    assert "10 due now" in first.out
    assert cli("learn", "2", "--depth", "quick").code == 0
    found = cli("learn", "--json").json
    assert [c["name"] for c in found["chapters"] if c["read"]] == ["data"]


@pytest.mark.full
@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_fits_80_columns(cli: Cli, topic: str) -> None:
    for depth in ("quick", "standard", "deep"):
        result = cli("learn", topic, "--depth", depth)
        assert result.code == 0, result.err
        assert result.err == ""
        # Cells of the terminal, not characters: the hat of p̂ is a character of its own and takes no cell.
        assert max(map(cell_len, result.out.rstrip().splitlines())) <= 80, topic


def test_numbers_are_those_of_the_run(cli: Cli, trained: Path) -> None:
    run = conviction.load_run(trained)
    shown = " ".join(cli("learn", "training", "--run", trained).out.split())
    assert f"{run.epoch_rows[-1].val_loss:.4f}" in shown
    assert str(trained) in shown.replace(" ", "")
    asked = cli("learn", "quiz", "architecture", "--run", trained, "--json").json
    assert str(trained) in asked["numbers_from"]
    question = next(q for q in asked["questions"] if q["name"] == "dense_params")
    dense = next(layer for layer in run.model.layers if layer.name == "dense_1")
    right = next(o["text"] for o in question["options"] if o["right"])
    assert right == f"{dense.count_params():,}"


def test_a_quiz_says_why_and_keeps_the_score(tmp_path: Path) -> None:
    home = tmp_path / "home"
    said = talk(home, "x\n" + "a\n" * 20, "quiz", "objectives")
    assert "Expected one of a, b, c" in said
    assert said.count("Right.") + said.count("No. ") == 4
    assert "of 4 right." in said
    kept = json.loads((home / "learning.json").read_text())
    assert kept["quiz"]["objectives"][1] == 4
    # Half a quiz is no result.
    assert "of 1 right" in talk(home, "a\nq\n", "quiz", "data")
    assert "data" not in json.loads((home / "learning.json").read_text())["quiz"]


def test_ctrl_c_in_the_middle_of_a_quiz_is_one_line(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "conviction", "learn", "quiz", "data"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
        text=True,
    )
    assert process.stdout is not None
    seen = ""
    while not seen.endswith("a/b/c/d? "):
        seen += process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert said == "conviction: Stopped by SIGINT.\n"


def test_cards_turn_over_and_come_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    said = talk(home, "\n4\n\n9\n1\n", "cards", "data")
    assert "Load, Reshape, Normalise, Encode" in said
    assert "Expected one of 1, 2, 3, 4" in said
    assert "2 of 8 cards seen, 6 new" in said
    assert len(json.loads((home / "learning.json").read_text())["cards"]) == 2
    # The one that was known easily is not asked again today.
    assert "L-R-N-E?" not in talk(home, "q\n", "cards", "data")


def test_a_walkthrough_explains_each_step_of_a_real_run(cli: Cli, tmp_path: Path) -> None:
    result = cli("learn", "walkthrough", "digits", "recipe=lab", "training.epochs=1", "model.filters=[4,4]")
    assert result.code == 0, result.err
    said = " ".join(result.out.split())
    explained, shown = (
        said.index("Say the four numbers"),
        said.index("Now an array of shape (1797, 32, 32, 1)"),
    )
    assert explained < shown
    assert "conviction learn quiz --run runs/digits-lab-1" in said
    assert (tmp_path / "runs" / "digits-lab-1" / "model.keras").is_file()


@pytest.mark.full
def test_a_walkthrough_waits_for_enter_at_a_terminal(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "conviction", "learn", "walkthrough", "digits", "training.epochs=1"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(tmp_path / "home", {"TERM": "xterm", "COLUMNS": "80"}),
        cwd=tmp_path,
    )
    os.close(slave)
    seen = b""
    pauses = 0
    try:
        while True:
            try:
                seen += os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            while seen.count(b"Press Enter to continue") > pauses:
                pauses += 1
                os.write(master, b"\n")
    finally:
        os.close(master)
    assert process.wait(PATIENCE) == 0, seen[-2000:]
    assert pauses >= 9


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nonsense"], "there is no topic 'nonsense'"),
        (["data", "more"], "expected nothing after it"),
        (["glossary", "nonsense"], "there is no word 'nonsense'"),
        (["quiz", "nonsense"], "there is no chapter 'nonsense'"),
        (["data", "--depth", "abyss"], "expected quick, standard or deep"),
        (["data", "--run", "nowhere"], "there is no such run folder"),
        (["walkthrough", "nonsense"], "nonsense"),
        (["walkthrough", "digits", "--json"], "leave out --run and --json"),
        (["glossary", "one", "two"], "expected at most one word"),
    ],
)
def test_wrong_requests_are_one_line(cli: Cli, arguments: list[str], reason: str) -> None:
    result = cli("learn", *arguments)
    assert result.code == 2
    assert reason in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_an_unfinished_run_says_how_to_finish_it(cli: Cli, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    for name in ("config.yaml", "data.json", "history.csv"):
        (tmp_path / "half" / name).write_bytes((trained / name).read_bytes())
    result = cli("learn", "data", "--run", "half")
    assert result.code == 2
    assert "conviction resume half" in result.err


@pytest.mark.full
def test_a_sealed_test_set_stays_sealed_in_the_lesson(cli: Cli, tmp_path: Path) -> None:
    keys = ["recipe=lab", "training.epochs=1", "model.filters=[4,4]", "evaluation.test=false"]
    assert cli("fit", "digits", *keys, "--out", "run").code == 0
    result = cli("learn", "evaluating", "--run", "run", "--depth", "quick")
    assert result.code == 0, result.err
    assert "still sealed" in " ".join(result.out.split())
    assert not (tmp_path / "home" / "openings.jsonl").exists()


def test_a_claim_is_guessed_before_what_was_measured_is_shown(tmp_path: Path) -> None:
    home = tmp_path / "home"
    said = " ".join(talk(home, "x\n3\nq\n", "claims", "filters").split())
    assert "Expected one of 1, 2, 3" in said
    asked, _, answered = said.partition("You expected it to be higher. No difference was detected")
    assert "Twice the filters in every convolution" in asked
    assert "points" not in asked
    assert "You will read elsewhere" not in asked
    assert "conviction explore SOURCE --claim twice-filters" in answered
    assert json.loads((home / "learning.json").read_text())["guesses"] == {"twice-filters": "higher"}
    # It is not asked again, unless it is named.
    assert "Half the filters" in talk(home, "q\n", "claims", "filters")
    assert "Twice the filters" in talk(home, "q\n", "claims", "twice-filters")
    assert "1 guessed" in " ".join(talk(home, "").split())


def test_claims_as_json_have_the_guess_the_teaching_and_the_measurement(cli: Cli) -> None:
    rows = cli("learn", "claims", "kernel-size", "--json").json["claims"]
    assert [row["name"] for row in rows] == ["larger-kernels", "larger-kernels-one-block"]
    assert (rows[0]["says"], rows[0]["direction"], rows[0]["guess"]) == (
        "higher",
        "no detectable difference",
        None,
    )
    assert [text.split(":")[0] for text in rows[0]["measured"]] == ["Fashion-MNIST", "CIFAR-10 (JPEG)"]
    for wrong, reason in (
        ("kernel", "no claim and no subject"),
        ("training", "the chapter training has none"),
    ):
        refused = cli("learn", "claims", wrong)
        assert (refused.code, len(refused.err.splitlines())) == (2, 1)
        assert reason in refused.err


@pytest.mark.full
def test_at_a_terminal_a_sheet_asks_before_it_tells(tmp_path: Path) -> None:
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "conviction", "learn", "filters"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
    )
    os.close(theirs)

    def until(words: str) -> str:
        seen = b""
        while words.encode() not in seen:
            seen += os.read(mine, 1000)
        return seen.decode()

    assert "Before you try it" not in until("g to guess, Enter to read on, q to leave: ")
    os.write(mine, b"g\n")
    until("1/2/3? ")
    os.write(mine, b"2\n")
    until("1/2/3? ")
    os.write(mine, b"q\n")
    until("Before you try it")
    seen = b""
    while True:
        try:
            seen += os.read(mine, 4000)
        except OSError:
            break
    os.close(mine)
    assert process.wait(PATIENCE) == 0
    assert json.loads((tmp_path / "home" / "learning.json").read_text())["guesses"] == {
        "twice-filters": "no detectable difference"
    }
