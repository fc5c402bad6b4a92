"""Every format, by the same contract: it answers as the run does, says what it is, and refuses what it is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import conviction
from conviction.artefacts import Artefact, load
from conviction.errors import ArtefactError
from conviction.flow.export import Exported
from conviction.runs.predictions import read_predictions
from tests.conftest import FORMATS, Cli, Exports, artefact, each_format, run_cli
from tests.hostile.models import hashed


@each_format
def test_it_answers_as_the_run_does(exported: Exports, trained: Path, name: str) -> None:
    opened, run = load(exported(name)), conviction.load_run(trained)
    assert isinstance(opened, Artefact)
    assert opened.class_names == run.class_names
    pixels = np.random.default_rng(0).integers(0, 256, (300, *run.rule.shape), np.uint8)
    expected = run.predict_pixels(pixels)
    got = opened.predict_pixels(pixels)
    np.testing.assert_allclose(got.probabilities, expected.probabilities, atol=1e-5)
    assert got.labels == expected.labels
    assert got.probabilities.dtype == np.float32
    # One at a time or many together, the answer is the same.
    alone = np.concatenate([opened.predict_pixels(p[np.newaxis]).probabilities for p in pixels[:3]])
    np.testing.assert_allclose(alone, got.probabilities[:3], atol=1e-5)
    assert opened.predict_pixels(pixels[:0]).probabilities.shape == (0, 10)


@each_format
def test_the_card_says_what_was_tested(exported: Exports, trained: Path, name: str) -> None:
    card, run = load(exported(name)).card, conviction.load_run(trained)
    assert card.kind == name
    assert card.test is not None
    assert card.test.accuracy == run.evaluation.accuracy
    assert card.test.accuracy_ci95 == run.evaluation.accuracy_ci95
    assert card.test.openings == 1
    assert card.data.licence == "CC BY 4.0"
    assert card.specification == run.config.model_dump(mode="json")
    assert any("whatever a picture shows" in limit for limit in card.limits)


@each_format
def test_numbers_are_taken_as_the_run_takes_them(exported: Exports, trained: Path, name: str) -> None:
    opened, run = load(exported(name)), conviction.load_run(trained)
    images = np.random.default_rng(1).integers(0, 17, (5, 8, 8)).astype(np.float64)  # the scale of digits
    np.testing.assert_allclose(
        opened.predict(images).probabilities, run.predict(images).probabilities, atol=1e-5
    )
    with pytest.raises(ValueError, match="from 0 "):
        opened.predict(images - 1.0)


@each_format
def test_a_damaged_file_is_refused(exported: Exports, tmp_path: Path, name: str) -> None:
    whole = exported(name)
    inner = Path("variables", "variables.data-00000-of-00001") if whole.is_dir() else Path()
    content = (whole / inner).read_bytes()
    for number, damaged in enumerate(
        [content[: len(content) // 2], content[:100], b"", b"\0" * len(content), content[::-1]]
    ):
        place = tmp_path / str(number) / whole.name
        if whole.is_dir():
            for file in whole.rglob("*"):
                if file.is_file():
                    (place / file.relative_to(whole)).parent.mkdir(parents=True, exist_ok=True)
                    (place / file.relative_to(whole)).write_bytes(file.read_bytes())
        else:
            place.parent.mkdir()
        (place / inner).write_bytes(damaged)
        with pytest.raises(ArtefactError):
            load(place)


@each_format
def test_a_file_of_another_program_is_refused(tmp_path: Path, name: str) -> None:
    place = tmp_path / artefact(tmp_path, name).name
    if name == "saved_model":
        place.mkdir()
        place = place / "saved_model.pb"
    place.write_bytes(b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94.")  # a pickle
    with pytest.raises(ArtefactError):
        load(tmp_path / artefact(tmp_path, name).name)


@pytest.mark.full
@given(where=st.integers(0, 10**9), value=st.integers(1, 255))
def test_no_changed_byte_of_a_litert_model_is_believed(exported: Exports, where: int, value: int) -> None:
    """Its runtime may read outside a damaged file, so the file is compared with its hash before."""
    from conviction.artefacts.formats.litert import _parts

    content = bytearray(exported("litert").read_bytes())
    with zipfile.ZipFile(exported("litert")) as archive:
        size = json.loads(archive.read("conviction.json"))["model"]["bytes"]
    content[where % size] ^= value
    with pytest.raises(ArtefactError, match="damaged"):
        _parts(bytes(content), Path("model.tflite"))


def onnx_with(exported: Exports, place: Path, change: Callable[[object], None]) -> Path:
    import onnx

    model = onnx.load(exported("onnx"))
    change(model)
    place.write_bytes(model.SerializeToString())
    return place


def test_hostile_onnx_files_are_refused(exported: Exports, tmp_path: Path) -> None:
    import onnx

    def elsewhere(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../etc/passwd")

    def elsewhere_in_a_node(model: onnx.ModelProto) -> None:
        tensor = onnx.TensorProto(
            name="hidden", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL
        )
        tensor.external_data.add(key="location", value="/etc/passwd")
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["hidden"], value=tensor))

    def strange(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.evil"

    def nested(model: onnx.ModelProto) -> None:
        model.graph.node[0].attribute.add(name="body", type=5).g.name = "loop"

    def nameless(model: onnx.ModelProto) -> None:
        del model.metadata_props[:]

    def liar(model: onnx.ModelProto) -> None:
        card = json.loads(model.metadata_props[0].value)
        card["class_names"] = card["class_names"][:-1]
        model.metadata_props[0].value = json.dumps(card)

    def other_shape(model: onnx.ModelProto) -> None:
        card = json.loads(model.metadata_props[0].value)
        card["decoding"]["height"] = 5
        model.metadata_props[0].value = json.dumps(card)

    for change, said in [
        (elsewhere, "refers to data in another file"),
        (elsewhere_in_a_node, "refers to data in another file"),
        (strange, "com.evil"),
        (nested, "none of our networks has"),
        (nameless, "no model card"),
        (liar, "its card names 9 classes"),
        (other_shape, "does not take the pixels"),
    ]:
        with pytest.raises(ArtefactError, match=said):
            load(onnx_with(exported, tmp_path / "model.onnx", change))


def test_a_lambda_layer_is_refused(exported: Exports, tmp_path: Path) -> None:
    import keras

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten()]
    )
    model.save(tmp_path / "model.keras")
    with (
        zipfile.ZipFile(exported("keras")) as whole,
        zipfile.ZipFile(tmp_path / "model.keras", "a") as bad,
    ):
        bad.writestr("conviction-card.json", whole.read("conviction-card.json"))
    with pytest.raises(ArtefactError, match="Lambda"):
        load(tmp_path / "model.keras")


@pytest.mark.full
def test_a_saved_model_that_reads_files_is_refused(exported: Exports, tmp_path: Path) -> None:
    import tensorflow as tf

    class Thief(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 1), tf.uint8)])
        def serve(self, x: tf.Tensor) -> tf.Tensor:
            return tf.strings.length(tf.io.read_file("/etc/passwd")) + tf.cast(x[0, 0, 0, 0], tf.int32)

    place = tmp_path / "saved_model"
    tf.saved_model.save(Thief(), str(place))
    card = json.loads((exported("saved_model") / "assets.extra/conviction.json").read_text())
    (place / "assets.extra").mkdir()
    (place / "assets.extra/conviction.json").write_text(json.dumps(card))
    hashed(place)
    with pytest.raises(ArtefactError, match="ReadFile"):
        load(place)


@each_format
def test_the_name_of_a_folder_is_no_pattern(exported: Exports, tmp_path: Path, name: str) -> None:
    plain = exported(name)
    place = tmp_path / "run [lr=0.01] *?"
    place.mkdir()
    (shutil.copytree if plain.is_dir() else shutil.copy)(plain, place / plain.name)
    pixels = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1), dtype=np.uint8)
    expected = load(plain).predict(pixels).probabilities
    assert np.array_equal(load(place / plain.name).predict(pixels).probabilities, expected)


def test_an_export_says_where_tensorflow_itself_finds_no_weights(tmp_path: Path) -> None:
    inside = Exported("saved_model", tmp_path / "run [1]" / "saved_model", None, None)
    assert "TensorFlow itself opens it only where" in inside.sentence
    assert "TensorFlow" not in Exported("onnx", tmp_path / "run [1]" / "model.onnx", None, None).sentence
    assert "TensorFlow" not in Exported("saved_model", tmp_path / "saved_model", None, None).sentence


def test_what_is_no_artefact(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such run folder or exported model"):
        load(tmp_path / "none.onnx")
    (tmp_path / "model.h5").touch()
    with pytest.raises(ArtefactError, match=r"ending in \.onnx, \.tflite, \.keras"):
        load(tmp_path / "model.h5")
    with pytest.raises(ArtefactError, match="run folder or a SavedModel"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["onnx", pytest.param("litert", marks=pytest.mark.full)])
def test_it_predicts_without_tensorflow(exported: Exports, tmp_path: Path, name: str) -> None:
    script = (
        "import sys, numpy as np, conviction\n"
        f"opened = conviction.load({str(exported(name))!r})\n"
        "opened.predict(np.zeros((2, 8, 8)))\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'scipy', 'sklearn', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a folder of colour pictures of two classes, trained on JAX."""
    from PIL import Image

    from tests.conftest import picture

    place = tmp_path_factory.mktemp("two")
    for label, name in enumerate(("cat", "dog")):
        (place / "pictures" / name).mkdir(parents=True)
        for i in range(30):
            Image.fromarray(picture(i, label, (24, 31))).save(place / "pictures" / name / f"{i}.png")
    small = ["training.epochs=2", "model.filters=[4,4]", "model.dense=[8]", "data.image_size=16"]
    done = run_cli(
        "fit",
        "pictures",
        *small,
        "--out",
        "run",
        cwd=place,
        home=place / "home",
        env={"KERAS_BACKEND": "jax"},
    )
    assert done.code == 0, done.err
    return place


@pytest.mark.full
def test_two_classes_trained_on_jax_have_two_probabilities_in_every_format(two_classes: Path) -> None:
    place = two_classes
    asked = ",".join([*FORMATS, "script"])
    done = run_cli(
        "export",
        "run",
        "--format",
        asked,
        "--json",
        cwd=place,
        home=place / "home",
        env={"KERAS_BACKEND": "jax"},
    )
    assert done.code == 0, done.err
    made = {e["format"]: e for e in done.json["exports"]}
    assert all(made[name]["parity"]["greatest"] < 1e-5 for name in FORMATS)
    answers = read_predictions(place / "run")["test"]
    for name in FORMATS:
        opened = load(artefact(place / "run" / "exports", name))
        assert opened.class_names == ["cat", "dog"]
        assert made[name]["parity"]["images"] == len(answers.labels)


@pytest.mark.full
def test_the_record_and_the_page(cli: Cli, trained: Path, tmp_path: Path) -> None:
    import hashlib

    done = cli("export", trained, "--format", ",".join([*FORMATS, "script"]), "--out", "exports")
    assert done.code == 0, done.err
    exported = tmp_path / "exports"

    record = {e["path"]: e for e in json.loads((exported / "export.json").read_text())}
    for name in ("model.onnx", "model.tflite", "model.keras"):
        assert record[name]["sha256"] == hashlib.sha256((exported / name).read_bytes()).hexdigest()
        assert record[name]["parity"]["part"] == "test"
        assert record[name]["parity"]["images"] == 359
    page = (exported / "MODEL_CARD.md").read_text()
    assert str(exported) not in page, "who gets the folder has it elsewhere"
    assert "- versions: python 3." in page
    run = conviction.load_run(trained)
    assert f"{run.evaluation.accuracy:.2%} of 359 test images" in page
    assert "CC BY 4.0" in page
    assert sorted(p.name for p in exported.iterdir()) == [
        *(
            "MODEL_CARD.md",
            "export.json",
            "model.keras",
            "model.onnx",
            "model.tflite",
            "saved_model",
            "script",
        )
    ]
