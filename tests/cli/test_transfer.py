"""``recipe=transfer`` from the command line: a few photographs, a run that is killed, wrong requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import conviction
from conviction.runs.predictions import read_predictions
from tests.cli import kills
from tests.conftest import Cli, environment, run_cli

KEYS = ("recipe=transfer", "data.image_size=64", "model.dropout=0.2", "training.epochs=4")


def test_a_small_folder_is_learned_on_a_frozen_backbone(cli: Cli, image_folder: Callable[..., Path]) -> None:
    source = image_folder(classes=("top", "left", "bottom"))
    first = cli("fit", source, *KEYS, "--out", "run")
    assert first.code == 0, first.err
    run = conviction.load_run(source.parent / "run")
    backbone = run.config.model.layers[0]
    assert backbone.type == "Backbone"
    assert backbone.weights is not None
    assert backbone.weights.sha256.startswith("579344")
    assert run.evaluation.test is not None
    # The very answers, from pixels through the whole of the saved model.
    images = conviction.load_source(source, run.config.data)
    kept = read_predictions(run.path)["test"]
    rows = images.rows_of(kept.hashes)
    again = run.predict_pixels(images.pixels[rows]).probabilities
    assert abs(again - kept.probabilities).max() < 1e-5
    second = cli("fit", source, *KEYS, "--out", "again")
    assert second.code == 0, second.err
    assert kills.fingerprint(run.path) == kills.fingerprint(source.parent / "again")


@pytest.mark.full
def test_a_run_that_is_killed_ends_with_the_same_bits(
    tmp_path: Path, image_folder: Callable[..., Path]
) -> None:
    source = image_folder(classes=("top", "left", "bottom"))
    keys = (*KEYS, "training.checkpoint_steps=1")
    home = tmp_path / "home"
    assert run_cli("fit", source, *keys, "--out", "whole", cwd=tmp_path, home=home).code == 0
    kills.kill_until_done(str(source), tmp_path, environment(home), 4, seed=1, keys=keys)
    assert kills.fingerprint(tmp_path / "run") == kills.fingerprint(tmp_path / "whole")


@pytest.mark.full
def test_the_last_blocks_learn_too(cli: Cli, image_folder: Callable[..., Path]) -> None:
    source = image_folder(classes=("top", "left", "bottom"))
    keys = ("model.trainable=2", "training.epochs=2", "training.learning_rate=0.0003")
    done = cli("fit", source, *KEYS[:-1], *keys, "--out", "run")
    assert done.code == 0, done.err
    assert "its last 2 blocks learn" in done.out


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (["model.backbone=resnet_50"], "Did you mean 'resnet50_v2'?"),
        (["model.trainable=some"], "model.trainable: expected head, all, or the number of its last blocks"),
        (["model.trainable=0"], "model.trainable: expected head, all, or the number of its last blocks"),
        (["model.trainable=99"], "it has 16 blocks, and 99 are to learn"),
        (["data.image_size=50"], "multiples of 32"),
        (["data.image_size=64", "data.color_mode=grayscale"], "data.color_mode=rgb"),
    ],
)
def test_wrong_requests_are_a_line(
    cli: Cli, image_folder: Callable[..., Path], keys: list[str], reason: str
) -> None:
    source = image_folder()
    done = cli("fit", source, "recipe=transfer", *keys, "--out", "run")
    assert done.code == 2
    assert reason in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (source.parent / "run").exists()


@pytest.mark.full
def test_explore_and_tune_change_the_head_and_how_much_learns(
    cli: Cli, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = image_folder()
    asked = ("explore", source, *KEYS, "--vary", "recipe=fast", "--vary", "model.trainable=1")
    explored = cli(*asked, "--seeds", "2", "--out", "explored")
    assert explored.code == 0, explored.err
    assert "recipe=fast: " in explored.out
    assert "model.trainable=1: " in explored.out
    tuned = cli(
        *("tune", source, *KEYS, "--trials", "3", "--confirm", "2", "--no-test", "--out", "tuned"),
    )
    assert tuned.code == 0, tuned.err
    # The default space is that of what follows a backbone.
    assert "model.dropout=" in (tmp_path / "tuned" / "report.html").read_text()
    assert "model.filters" not in (tmp_path / "tuned" / "result.json").read_text()


@pytest.mark.full
def test_what_a_run_says_about_trying_the_other_kind_of_network(
    cli: Cli, image_folder: Callable[..., Path]
) -> None:
    source = image_folder()
    first = cli("fit", source, *KEYS, "--out", "on-a-backbone")
    assert first.code == 0, first.err
    command = "conviction explore photos recipe=transfer 'data.image_size=[64,64]' --vary recipe=best"
    assert command.replace("photos", str(source)) in " ".join(first.out.split())
    small = ("model.filters=[2]", "model.dense=[4]", "training.epochs=1", "data.image_size=64")
    other = cli("fit", source, *small, "data.color_mode=rgb", "--out", "without")
    assert other.code == 0, other.err
    assert "recipe=transfer" in other.out
