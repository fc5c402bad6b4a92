"""``augmentation.flip=auto``: decided from the training images, kept with its evidence, and said alike ever after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from conviction.runs import folder
from tests.conftest import run_cli

KEYS = ["recipe=best", "model.filters=[4,4]", "model.convs=1", "training.epochs=2"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits and one on pictures of symmetric things: ``digits`` and ``masks``."""
    desk = tmp_path_factory.mktemp("mirrors")
    chance = np.random.default_rng(0)
    kinds = chance.integers(0, 200, (2, 12, 12, 3))
    kinds[:, :, 6:] = kinds[:, :, :6][:, :, ::-1]
    for i in range(60):
        pixels = (kinds[i % 2] + chance.integers(0, 50, (12, 12, 3))).astype(np.uint8)
        file = desk / "pictures" / ("mask", "vase")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    for source, out in (("digits", "digits"), ("pictures", "masks")):
        done = run_cli("fit", source, *KEYS, "--out", out, cwd=desk, home=desk / "home")
        assert done.code == 0, done.err
        (desk / f"{out}.txt").write_text(done.out)
    return desk


def plain(text: str) -> str:
    return " ".join(text.split())


def test_what_was_decided_is_said_and_kept(desk: Path) -> None:
    for out, flip, words in (
        ("digits", "none", "are not mirrored, since"),
        ("masks", "alternate", "are mirrored, since"),
    ):
        config = yaml.safe_load((desk / out / folder.CONFIG).read_text())
        assert config["augmentation"]["flip"] == flip
        mirrors = json.loads((desk / out / folder.DATA).read_text())["mirrors"]
        assert mirrors["use"] == (flip != "none")
        said = plain((desk / f"{out}.txt").read_text())
        assert words in said
        assert (
            f"{mirrors['agreement']:.0%} of cases, that of its mirror image in {mirrors['mirrored']:.0%}"
            in said
        )


def test_a_run_that_goes_on_says_and_keeps_the_same(desk: Path) -> None:
    before = json.loads((desk / "digits" / folder.DATA).read_text())["mirrors"]
    done = run_cli("resume", "digits", "training.epochs=3", cwd=desk, home=desk / "home")
    assert done.code == 0, done.err
    assert "since that would change what they show" in plain(done.out)
    assert json.loads((desk / "digits" / folder.DATA).read_text())["mirrors"] == before
    done = run_cli("report", "digits", cwd=desk, home=desk / "home")
    assert done.code == 0, done.err
    assert "since that would change what they show" in plain((desk / "digits" / folder.REPORT).read_text())


def test_views_with_mirror_images_need_classes_that_bear_them(desk: Path) -> None:
    done = run_cli("fit", "digits", *KEYS, "evaluation.views=2", "--out", "two", cwd=desk, home=desk / "home")
    assert done.code == 2
    assert "evaluation.views=2 averages over mirror images" in done.err
    assert not (desk / "two").exists()


@pytest.mark.full
def test_the_networks_of_folds_decide_for_themselves(desk: Path) -> None:
    """Without the images of their fold; and the script of the run has what was decided."""
    keys = [*KEYS, "evaluation.folds=2"]
    done = run_cli("fit", "pictures", *keys, "--out", "folds", cwd=desk, home=desk / "home")
    assert done.code == 0, done.err
    done = run_cli("export", "masks", "--format", "script", cwd=desk, home=desk / "home")
    assert done.code == 0, done.err
    script = (desk / "masks" / "exports" / "script" / "train.py").read_text()
    assert "alternating_flips" in script


@pytest.mark.full
def test_a_trial_decides_for_itself(desk: Path) -> None:
    asked = ["explore", "digits", "--vary", "model.kernel_size=3,5", "--seeds", "1", *KEYS]
    done = run_cli(*asked, "--out", "study", cwd=desk, home=desk / "home")
    assert done.code == 0, done.err
