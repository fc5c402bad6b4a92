"""``conviction resume``: real kills, real signals, and requests that cannot be met."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import conviction
from conviction.config import load_recipe
from conviction.errors import RequestError
from conviction.flow.resume import _check_specification
from conviction.runs.checkpoints import read_checkpoint
from conviction.runs.folder import CHECKPOINTS
from tests.cli import kills
from tests.cli.test_interruption import start, wait_for_epoch
from tests.conftest import Cli, environment, run_cli
from tests.patience import PATIENCE


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A run of ``kills.KEYS`` that nobody interrupted."""
    place = tmp_path_factory.mktemp("whole")
    assert run_cli("fit", "digits", *kills.KEYS, "--out", "run", cwd=place, home=place / "home").code == 0
    return kills.fingerprint(place / "run")


def killed(tmp_path: Path, whole: dict[str, str], most: int, seed: int) -> int:
    died = kills.kill_until_done("digits", tmp_path, environment(tmp_path / "home"), most, seed=seed)
    assert kills.fingerprint(tmp_path / "run") == whole
    assert conviction.load_run(tmp_path / "run").status == "done"
    assert not [p for p in (tmp_path / "run").rglob(".*") if p.is_file()], "a leftover of a kill"
    return died


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(
    tmp_path: Path, whole: dict[str, str]
) -> None:
    assert killed(tmp_path, whole, most=2, seed=1) == 2


@pytest.mark.full
@pytest.mark.long
def test_many_kills(tmp_path: Path, whole: dict[str, str]) -> None:
    wanted = int(os.environ.get("CONVICTION_TEST_KILLS", "8"))
    died, seed = 0, 100
    while died < wanted:
        place = tmp_path / str(seed)
        place.mkdir()
        died += killed(place, whole, most=min(10, wanted - died), seed=seed)
        shutil.rmtree(place)
        seed += 1


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_it_ends_with_the_same_bits(
    tmp_path: Path, whole: dict[str, str], cli: Cli, number: int
) -> None:
    process = start(tmp_path, "fit", "digits", *kills.KEYS, "--out", "run")
    wait_for_epoch(process, 1)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, err
    assert "continue with: conviction resume run" in err
    assert cli("resume", "run").code == 0
    assert kills.fingerprint(tmp_path / "run") == whole


@pytest.mark.full
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(
    tmp_path: Path, whole: dict[str, str], cli: Cli
) -> None:
    process = start(tmp_path, "fit", "digits", *kills.KEYS, "--out", "run")
    wait_for_epoch(process, 2)
    process.kill()
    process.communicate(timeout=PATIENCE)
    last = max((tmp_path / "run" / CHECKPOINTS).iterdir())
    last.write_bytes(last.read_bytes()[:-100])
    result = cli("resume", "run")
    assert result.code == 0, result.err
    assert f"{last.name} is damaged, so the checkpoint before it is used." in result.out
    assert kills.fingerprint(tmp_path / "run") == whole


SHORT = ["recipe=lab", "model.filters=[4]", "model.dense=[8]", "training.epochs=2"]


@pytest.fixture
def stopped(tmp_path: Path, image_folder: Callable[..., Path], cli: Cli) -> Path:
    """A run on a folder of pictures that is done, after 2 epochs."""
    image_folder()
    result = cli("fit", "pictures", *SHORT, "training.batch_size=8", "--out", "run")
    assert result.code == 0, result.err
    return tmp_path / "run"


@pytest.mark.full
def test_more_epochs_are_those_of_a_longer_run_and_nothing_is_lost(
    tmp_path: Path, stopped: Path, cli: Cli
) -> None:
    before = json.loads((stopped / "evaluation.json").read_text())
    result = cli("resume", "run", "training.epochs=4", "--json")
    assert result.code == 0, result.err
    assert result.json["status"] == "done"
    assert json.loads((stopped / "evaluation-after-2-epochs.json").read_text()) == before
    assert conviction.load_run(stopped).config.training.epochs == 4
    longer = ["fit", "pictures", *SHORT[:-1], "training.epochs=4", "training.batch_size=8", "--out", "longer"]
    assert cli(*longer).code == 0
    assert kills.fingerprint(stopped) == kills.fingerprint(tmp_path / "longer")


def test_what_cannot_be_resumed_says_what_to_do(tmp_path: Path, stopped: Path, cli: Cli) -> None:
    def refused(*arguments: str) -> str:
        result = cli("resume", *arguments)
        assert result.code == 2, result.out
        assert len(result.err.strip().splitlines()) == 1
        return result.err

    assert "is done, after 2 epochs" in refused("run")
    assert "conviction resume run training.epochs=4" in refused("run")
    assert "expected more than the 2 epochs" in refused("run", "training.epochs=1")
    assert "only training.epochs may change" in refused("run", "model.dropout=0.1")
    assert "Did you mean 'training.epochs'?" in refused("run", "trainin.epochs=3")
    assert "there is no such run folder" in refused("nowhere")
    assert "KEY=VALUE" in refused("run", "training.epochs")

    def in_process(message: str) -> None:
        """The same without the seconds that a process takes to start."""
        with pytest.raises(RequestError, match=message):
            conviction.resume(stopped, ["training.epochs=3"])

    config = (stopped / "config.yaml").read_text()
    (stopped / "config.yaml").write_text(config.replace("optimizer: adam", "optimizer: sgd"))
    in_process("training.optimizer: adam before, sgd now")
    (stopped / "config.yaml").write_text(config)
    os.rename(tmp_path / "pictures" / "cat", tmp_path / "pictures" / "lion")
    in_process(r"class_names .*'cat', 'dog'.*'dog', 'lion'")
    os.rename(tmp_path / "pictures" / "lion", tmp_path / "pictures" / "cat")
    os.replace(tmp_path / "pictures" / "cat" / "0.png", tmp_path / "away.png")
    in_process("the data has changed since the run started; .* 1 images are gone or changed and 0 are new")
    shutil.rmtree(tmp_path / "pictures")
    in_process("neither a named set")
    found = read_checkpoint(stopped)
    assert found is not None
    assert found[0].epoch == 2, "a refusal must leave the checkpoint"


@pytest.mark.full
def test_a_renamed_picture_is_the_same_picture(tmp_path: Path, stopped: Path, cli: Cli) -> None:
    os.rename(tmp_path / "pictures" / "cat" / "0.png", tmp_path / "pictures" / "cat" / "zero.png")
    assert cli("resume", "run", "training.epochs=3").code == 0


@pytest.mark.full
def test_a_full_disk_in_the_middle_leaves_the_last_good_checkpoint(stopped: Path, cli: Cli) -> None:
    done = cli("resume", "run", "training.epochs=3", largest_file=8_000)
    assert done.code == 1, done.err
    assert "could not be written (File too large)" in done.err
    found = read_checkpoint(stopped)
    assert found is not None
    assert found[0].epoch == 2


@pytest.mark.full
def test_commands_that_a_message_names_can_be_pasted_although_names_have_spaces(
    tmp_path: Path, cli: Cli
) -> None:
    keys = ["recipe=lab", "model.filters=[4]", "training.epochs=1"]
    assert cli("fit", "digits", *keys, "--out", "my run").code == 0
    assert "conviction resume 'my run' training.epochs=2" in cli("resume", "my run").err
    assert (
        "--config 'my run/config.yaml' model.dropout=0.1" in cli("resume", "my run", "model.dropout=0.1").err
    )


def test_a_diverged_run_keeps_its_last_good_state(tmp_path: Path, cli: Cli) -> None:
    keys = ["recipe=lab", "training.optimizer=sgd", "training.learning_rate=100", "model.activation=silu"]
    result = cli("fit", "digits", *keys, "--out", "run")
    assert result.code == 1
    assert "training has diverged" in result.err
    assert "try training.learning_rate=10, or auto" in result.err
    assert "No epoch was finished." in result.err


@pytest.mark.full
def test_early_stopping_says_what_was_restored(tmp_path: Path, cli: Cli) -> None:
    keys = ["recipe=lab", "model.filters=[4]", "training.learning_rate=0.05", "training.epochs=40"]
    result = cli("fit", "digits", *keys, "training.early_stopping=2", "--out", "run")
    assert result.code == 0, result.err
    run = conviction.load_run(tmp_path / "run")
    kept = min(run.epoch_rows, key=lambda row: row.val_loss)
    assert f"The model has the weights of epoch {kept.epoch} (val_loss {kept.val_loss:.4f})" in result.out
    assert run.evaluation.validation.loss == pytest.approx(kept.val_loss, rel=1e-4)
    more = cli("resume", "run", "training.epochs=50")
    assert more.code == 2
    assert "early stopping ended it" in more.err


def test_a_checkpoint_of_an_earlier_version_lacks_the_keys_that_came_later() -> None:
    run: Any = SimpleNamespace(path=Path("run"))
    before = load_recipe(["training.epochs=4"]).model_dump(mode="json")
    del before["data"]["fit"], before["evaluation"]
    _check_specification(run, load_recipe(["training.epochs=9"]), before)
    with pytest.raises(RequestError, match=r"data\.fit: stretch before, crop now"):
        _check_specification(run, load_recipe(["data.fit=crop"]), before)
