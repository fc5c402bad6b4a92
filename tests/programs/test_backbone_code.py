"""Programs of runs that begin with a pretrained network: the same network, the same features, the same figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conviction
from conviction.config import load_recipe
from conviction.model import backbones, build
from conviction.model.backbones.kinds import KINDS
from conviction.programs.backbone_code import backbone_section, kept_layers, learning_code, write_weights
from conviction.programs.training_code import model_section, network_sections
from tests.artefacts.test_backbones import pictures, random_weights
from tests.conftest import Cli
from tests.programs.test_script_and_notebook import alone, said_accuracy

SHAPE = (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "trainable"),
    [
        ("mobilenet_v3_small", 2),
        *(
            pytest.param(name, trainable, marks=pytest.mark.full)
            for name in KINDS
            for trainable in (("head", 1, "all") if name == "efficientnet_lite0" else (3,))
        ),
    ],
)
def test_a_program_builds_the_network_of_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, trainable: int | str
) -> None:
    """With random weights, because the published ones of five backbones need a network."""
    import keras

    monkeypatch.setattr(backbones, "find_weights", lambda kind: Path("none"))
    monkeypatch.setattr(backbones, "load_weights", random_weights)
    keys = {"model.backbone": name, "model.trainable": trainable, "model.dense": [8]}
    recipe = load_recipe({"recipe": "transfer", **keys})
    expected = build(recipe.model, SHAPE, 3, recipe.training.seed)
    write_weights(tmp_path / "backbone.weights.h5", recipe.model.layers[0], SHAPE)  # type: ignore[arg-type]
    backbone = recipe.model.backbone
    assert backbone is not None
    code = [
        "from __future__ import annotations",
        backbone_section(recipe, SHAPE, repr(str(tmp_path / "backbone.weights.h5"))).code,
        learning_code(backbone) if trainable != "head" else "",
        model_section(recipe, SHAPE, 3).code,
    ]
    names: dict[str, Any] = {"keras": keras}
    exec("\n".join(code), names)
    model = names["model"]
    pixels = pictures(32)
    assert np.array_equal(model.predict(pixels, verbose=0), expected.predict(pixels, verbose=0))
    for one, other in zip(model.trainable_variables, expected.trainable_variables, strict=True):
        assert np.array_equal(one, other)


def test_what_is_computed_once_is_what_the_run_computes_once() -> None:
    transfer = {"recipe": "transfer"}
    assert kept_layers(load_recipe(transfer)) == 2
    assert kept_layers(load_recipe({**transfer, "model.dropout": 0.2, "model.dense": [8]})) == 2
    assert kept_layers(load_recipe({**transfer, "model.trainable": "all"})) == 0
    assert kept_layers(load_recipe({**transfer, "augmentation.flip": "horizontal"})) == 2
    assert kept_layers(load_recipe({**transfer, "augmentation.mixup": 0.2})) == 0
    assert kept_layers(load_recipe({"recipe": "lab"})) == 0


def test_the_lesson_goes_with_what_a_backbone_adds_to_a_program() -> None:
    for trainable, last in (("head", []), (2, ["Fine-tuning"])):
        recipe = load_recipe({"recipe": "transfer", "model.trainable": trainable})
        sections = network_sections(recipe, (224, 224, 3), 3, 40)
        assert [one.title for one in sections if one.chapter == "transfer"] == [
            "Backbone",
            "Features",
            *last,
        ]


@pytest.mark.full
def test_the_script_of_a_frozen_backbone_comes_to_the_same_bits(
    cli: Cli, transferred: Path, tmp_path: Path
) -> None:
    # The notebook, which has the same cells, is executed when it is written.
    done = cli("export", transferred, "--format", "script,notebook", "--out", "exports")
    assert done.code == 0, done.err
    assert (tmp_path / "exports" / "notebook" / "backbone.weights.h5").is_file()
    notebook = (tmp_path / "exports" / "notebook" / "lab.ipynb").read_text()
    assert notebook.count("### Standing on other networks in a minute") == 1
    program = tmp_path / "exports" / "script" / "train.py"
    assert "conviction" not in program.read_text().split('"""')[2]
    printed = alone(program)
    last = conviction.load_run(transferred).epoch_rows[-1]
    assert f"val_accuracy: {last.val_accuracy:.4f} - val_loss: {last.val_loss:.4f}" in printed
    assert said_accuracy(transferred) in printed


@pytest.mark.full
@pytest.mark.long
@pytest.mark.parametrize(
    "keys",
    [
        ["model.trainable=2", "training.epochs=1", "training.precision=float32"],
        ["model.trainable=all", "training.epochs=1", "training.precision=bfloat16"],
        ["model.dense=[8]", "model.dropout=0.2", "training.epochs=3", "training.precision=bfloat16"],
        ["augmentation.flip=horizontal", "augmentation.rotate=10", "training.epochs=3"],
    ],
)
def test_the_script_of_any_other_way_to_learn(
    cli: Cli, transferred: Path, tmp_path: Path, keys: list[str]
) -> None:
    fitted = cli(
        *("fit", transferred.parent / "pictures", "recipe=transfer", "data.image_size=32"),
        *(*keys, "--out", "run"),
    )
    assert fitted.code == 0, fitted.err
    done = cli("export", "run", "--format", "script")
    assert done.code == 0, done.err
    printed = alone(tmp_path / "run" / "exports" / "script" / "train.py")
    last = conviction.load_run(tmp_path / "run").epoch_rows[-1]
    if "training.precision=bfloat16" in keys:  # not the same bits
        assert "test accuracy" in printed
    else:
        assert f"val_loss: {last.val_loss:.4f}" in printed
        assert said_accuracy(tmp_path / "run") in printed
