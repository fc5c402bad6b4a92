"""Networks that begin with a pretrained one, in every format; their parts, and nothing else, are opened again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conviction
from conviction.artefacts import load
from conviction.artefacts.converting import in_plain_convolutions, one_output_a_class
from conviction.artefacts.formats import FORMATS
from conviction.artefacts.run_card import IMAGENET_IMAGES, card_of, card_page
from conviction.config.model import Backbone, Conv2D, Flatten, ModelSpec, Shorthand, expand
from conviction.errors import ArtefactError
from conviction.model import backbones, build, network_file
from conviction.model.backbones.kinds import KINDS, Kind
from conviction.runs.predictions import read_predictions
from tests.conftest import FORMATS as NAMES
from tests.conftest import Cli, artefact, run_cli
from tests.server.conftest import serving

BACKBONES = list(KINDS)
OF_EVERY_LAYER = ("efficientnet_lite0", "mobilenet_v3_small", "convnext_tiny")


def random_weights(model: Any, kind: Kind, path: Path) -> None:
    """Weights that let a picture through; the published ones of five backbones need a network."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        shape, name = variable.shape, variable.path.rsplit("/", 1)[-1]
        if name == "kernel":
            depthwise = "depthwise" in variable.path
            fan_in = np.prod(shape[:2] if depthwise else shape[:-1])
            value = rng.normal(0.0, np.sqrt(2.0 / fan_in), shape)
        elif name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0.0, 0.1, shape)
        variable.assign(value.astype(np.float32))
    # Maps are normalised by what they are for pictures, as after a training; else the last are alike for all of them.
    normalisations = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    for layer in normalisations:
        layer.momentum = 0.0
    dropouts = {layer: layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"}
    for layer in dropouts:
        layer.rate = 0.0  # otherwise the averages would be others every time
    if normalisations:
        scaled = pictures(model.input_shape[1]) * np.array(kind.scaling.scale) + np.array(kind.scaling.offset)
        model(scaled.astype(np.float32), training=True)
    for layer, rate in dropouts.items():
        layer.rate = rate


@pytest.fixture
def without_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "find_weights", lambda kind: Path("none"))
    monkeypatch.setattr(backbones, "load_weights", random_weights)


def pictures(size: int) -> np.ndarray:
    """Five that differ in more than noise."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 100, (5, size, size, 3))
    return (noise + rng.integers(0, 156, (5, 1, 1, 3))).astype(np.uint8)


# The others have no layer that these, or networks of one's own, do not have.
@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [name if name in OF_EVERY_LAYER else pytest.param(name, marks=pytest.mark.long) for name in BACKBONES],
)
def test_every_backbone_answers_alike_in_every_format(
    without_published_weights: None, transferred: Path, tmp_path: Path, name: str
) -> None:
    import keras

    spec = expand(Shorthand(backbone=name, dense=()))  # type: ignore[arg-type]
    model = build(spec, (64, 64, 3), 3, 0)
    pixels = pictures(64)
    expected = np.asarray(model(pixels, training=False))
    assert expected.std(axis=0).max() > 0.01, "these weights answer alike whatever they see"
    model.save(tmp_path / "saved.keras")
    whole = one_output_a_class(keras.models.load_model(tmp_path / "saved.keras", safe_mode=True))
    card = card_of(conviction.load_run(transferred), "all")
    card = card.model_copy(update={"decoding": card.decoding.model_copy(update={"height": 64, "width": 64})})
    for form in FORMATS.values():
        path = artefact(tmp_path, form.name)
        form.write(whole, path, card, pixels)
        opened = load(path)
        for some in (pixels, pixels[:1]):
            got = opened.predict(some).probabilities
            np.testing.assert_allclose(got, expected[: len(some)], atol=1e-4, err_msg=form.name)


def test_what_convnext_has_becomes_plain_convolutions() -> None:
    import keras

    layers = keras.layers
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 6)),
            layers.Conv2D(6, 3, strides=2, groups=6, padding="same"),
            layers.Dense(5, "gelu"),
        ]
    )
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(6, 1), inner, layers.Flatten(), layers.Dense(2)]
    )
    changed = in_plain_convolutions(model)
    kinds = [type(layer).__name__ for layer in changed._flatten_layers()]
    assert "DepthwiseConv2D" in kinds
    assert kinds.count("Dense") == 1
    x = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    np.testing.assert_allclose(changed(x), model(x), atol=1e-5)
    assert in_plain_convolutions(changed) is changed


@pytest.mark.full
def test_gelu_is_written_for_onnx(transferred: Path, tmp_path: Path) -> None:
    spec = ModelSpec(layers=(Conv2D(filters=4, activation="gelu"), Flatten()))
    model = build(spec, (32, 32, 3), 3, 0)
    path = tmp_path / "model.onnx"
    pixels = pictures(32)
    FORMATS["onnx"].write(
        one_output_a_class(model), path, card_of(conviction.load_run(transferred), "onnx"), pixels
    )
    np.testing.assert_allclose(load(path).predict(pixels).probabilities, model(pixels), atol=1e-5)


@pytest.mark.full
def test_exactly_the_parts_of_our_networks_are_known() -> None:
    def classes(value: Any) -> set[str]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        own = {value["class_name"]} if isinstance(value, dict) and "class_name" in value else set()
        return own.union(*map(classes, inner))

    of_backbones = set()
    for kind in KINDS.values():
        of_backbones |= classes(json.loads(kind.build((32, 32, 3), None).to_json()))
    assert of_backbones < network_file.CLASSES
    of_backbones -= {"Functional", "InputLayer", "__keras_tensor__", "Sequential", "DTypePolicy"}
    assert {"Add", "DepthwiseConv2D", "LayerScale", "ZeroPadding2D"} < of_backbones


def keras_archive(path: Path, config: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (("config.json", config), ("metadata.json", "{}"), ("model.weights.h5", "")):
            archive.writestr(name, content)
        archive.writestr("conviction-card.json", "{}")
    return path


def network_of(layers: list[Any]) -> dict[str, Any]:
    return {"class_name": "Functional", "config": {"layers": layers}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            json.dumps(network_of([network_of([network_of([network_of([])])])])),
            "larger network than any of ours",
        ),
        (json.dumps(network_of([{"class_name": "ReLU"}] * 601)), "larger network than any of ours"),
        (
            json.dumps(network_of([network_of([{"class_name": "ReLU"}] * 300)] * 3)),
            "larger network than any of ours",
        ),
        (json.dumps({"class_name": "Add", "padding": " " * 4_000_000}), "larger network than any of ours"),
        ("[" * 200_000, "damaged"),
        ('{"a": ' + "[" * 600 + json.dumps({"class_name": "Lambda"}) + "]" * 600 + "}", "Lambda"),
        (json.dumps(network_of([network_of([{"class_name": "TFSMLayer"}])])), "TFSMLayer"),
    ],
)
def test_a_keras_file_larger_than_any_of_ours_is_not_opened(tmp_path: Path, config: str, said: str) -> None:
    with pytest.raises(ArtefactError, match=said):
        load(keras_archive(tmp_path / "model.keras", config))


def test_a_card_that_is_nested_too_deep_is_damage(tmp_path: Path) -> None:
    deep = "[" * 200_000
    with zipfile.ZipFile(tmp_path / "model.tflite", "w") as archive:
        archive.writestr("conviction.json", deep)
    saved = tmp_path / "saved_model"
    (saved / "assets.extra").mkdir(parents=True)
    (saved / "saved_model.pb").touch()
    (saved / "assets.extra" / "conviction.json").write_text(deep)
    for path in (tmp_path / "model.tflite", saved):
        with pytest.raises(ArtefactError, match="card"):
            load(path)


@pytest.fixture(scope="module")
def fine_tuned(transferred: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a backbone whose last two blocks have learned for an epoch."""
    place = tmp_path_factory.mktemp("fine")
    keys = ["recipe=transfer", "model.trainable=2", "data.image_size=32", "training.epochs=1"]
    pictures = transferred.parent / "pictures"
    done = run_cli("fit", pictures, *keys, "--out", "run", cwd=place, home=place / "home")
    assert done.code == 0, done.err
    return place / "run"


@pytest.mark.full
@pytest.mark.parametrize("kind", ["transferred", pytest.param("fine_tuned", marks=pytest.mark.long)])
def test_a_run_with_a_backbone_is_exported_in_every_format(
    request: pytest.FixtureRequest, cli: Cli, tmp_path: Path, kind: str
) -> None:
    run = request.getfixturevalue(kind)
    done = cli("export", run, "--format", ",".join(NAMES), "--out", "exports", "--json")
    assert done.code == 0, done.err
    answers = read_predictions(run)["test"]
    for made in done.json["exports"]:
        assert made["parity"]["greatest"] < 1e-5
        assert made["parity"]["images"] == len(answers.labels)
    for name in NAMES:
        opened = load(artefact(tmp_path / "exports", name))
        assert opened.card.backbone is not None
        assert opened.card.backbone.name == "EfficientNet-Lite0"


@pytest.mark.full
@pytest.mark.parametrize("small", [pytest.param("float16", marks=pytest.mark.long), "int8"])
def test_a_backbone_is_quantized(cli: Cli, transferred: Path, tmp_path: Path, small: str) -> None:
    # Few images: what matters is how near the answers are.
    lost = ["--most-lost", "0.5"]
    done = cli(
        "export", transferred, "--format", "onnx,litert", "--quantize", small, *lost, "--out", "q", "--json"
    )
    assert done.code == 0, done.err
    share, apart = {"float16": (0.6, 0.05), "int8": (0.35, 0.3)}[small]
    for made in done.json["exports"]:
        assert (tmp_path / made["path"]).stat().st_size < share * 14e6
        assert made["parity"]["greatest"] < apart


@pytest.mark.full
def test_an_artefact_with_a_backbone_predicts_and_serves(cli: Cli, transferred: Path, tmp_path: Path) -> None:
    done = cli("export", transferred, "--format", "onnx", "--out", "exports")
    assert done.code == 0, done.err
    picture = transferred.parent / "pictures" / "green" / "3.png"
    expected = cli("predict", transferred, picture, "--json").json["predictions"][0]
    onnx = tmp_path / "exports" / "model.onnx"
    got = cli("predict", onnx, picture, "--json").json["predictions"][0]
    assert got["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
    with serving(onnx, tmp_path) as server, server.client() as client:
        reply = client.post("/v1/predict", files={"files": ("3.png", picture.read_bytes())}).json()
        assert reply["predictions"][0]["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
        card = client.get("/v1/model").json()
        assert card["backbone"]["weights"]["licence"] == "Apache-2.0"
        assert any("from the web" in limit for limit in card["limits"])


@pytest.mark.full
def test_the_card_says_what_the_backbone_has_seen(transferred: Path) -> None:
    run = conviction.load_run(transferred)
    card = card_of(run, "onnx")
    first = run.config.model.layers[0]
    assert isinstance(first, Backbone)
    assert card.backbone is not None
    assert card.backbone.weights == first.weights
    assert card.backbone.images == IMAGENET_IMAGES
    assert type(card).model_validate_json(card.model_dump_json()) == card
    page = card_page(card, [])
    for said in ("arXiv:1905.11946", "1,281,167 photographs of 1,000 classes", "frozen", "Apache-2.0"):
        assert said in page
    assert first.weights.sha256 in page
    assert "non-commercial research and education only" in page
    assert "a test set taken from the web may not be unseen" in page


def test_the_card_of_a_network_from_scratch_names_no_other_pictures(trained: Path) -> None:
    card = card_of(conviction.load_run(trained), "onnx")
    assert card.backbone is None
    page = card_page(card, [])
    assert "ImageNet" not in page
    assert "from the web" not in page
    # Cards that were written before backbones were known are still read.
    content = card.model_dump(mode="json")
    del content["backbone"]
    assert type(card).model_validate_json(json.dumps(content)) == card
