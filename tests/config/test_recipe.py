"""From defaults, recipe, file and KEY=VALUE to one specification, and every way to get that wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conviction.config import Recipe, Shorthand, expand, keys, load_recipe
from conviction.errors import RequestError


def test_the_lab_to_the_letter() -> None:
    recipe = load_recipe(["recipe=lab"])
    layers = [layer.model_dump() for layer in recipe.model.layers]
    kinds = [layer["type"] for layer in layers]
    assert kinds == ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense"]
    assert [(c["filters"], c["kernel_size"], c["activation"]) for c in layers if c["type"] == "Conv2D"] == [
        (32, (3, 3), "relu"),
        (64, (3, 3), "relu"),
    ]
    assert layers[1]["pool_size"] == (2, 2)
    assert (layers[-1]["units"], layers[-1]["activation"]) == (128, "relu")
    training = recipe.training
    assert (training.optimizer, training.learning_rate) == ("adam", 0.001)
    assert (training.batch_size, training.epochs, recipe.data.validation) == (64, 12, 0.1)


def test_a_key_on_the_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("training: {epochs: 3, learning_rate: 1e-2}\nmodel: {filters: [8]}\n")
    recipe = load_recipe(["recipe=lab", "training.epochs=5"], file)
    assert recipe.training.epochs == 5
    assert recipe.training.learning_rate == 0.01
    assert recipe.model == expand(Shorthand(filters=(8,)))


def test_layers_in_the_file_and_a_shorthand_on_the_line_is_the_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("model: {layers: [{type: Flatten}, {type: Dense, units: 4}]}\n")
    assert load_recipe(["recipe=lab", "model.dense=[16]"], file).model == expand(Shorthand(dense=(16,)))
    assert len(load_recipe([], file).model.layers) == 2


def test_values_are_read_as_people_write_them() -> None:
    recipe = load_recipe(
        [
            "recipe=lab",
            "training.learning_rate=1e-3",
            "model.kernel_size=5",
            "model.filters=16",
            "data.image_size=[24,32]",
        ]
    )
    assert recipe.training.learning_rate == 0.001
    assert recipe.model == expand(Shorthand(filters=(16,), kernel_size=(5, 5)))
    assert recipe.data.image_size == (24, 32)


def test_batch_norm_and_dropout_say_where_they_stand() -> None:
    model = load_recipe(
        ["recipe=lab", "model.filters=[8]", "model.batch_norm=true", "model.dropout=0.25"]
    ).model
    kinds = [layer.type for layer in model.layers]
    assert kinds == [
        "Conv2D",
        "BatchNormalization",
        "Activation",
        "MaxPooling2D",
        "Dropout",
        "Flatten",
        "Dense",
        "Dropout",
    ]
    assert model.layers[0].model_dump()["use_bias"] is False


@pytest.mark.parametrize(
    ("pair", "parts"),
    [
        ("training.epoch=3", ["training.epoch", "Did you mean 'training.epochs'"]),
        ("trainning.epochs=3", ["Did you mean 'training.epochs'"]),
        ("training.epochs=ten", ["training.epochs", "integer", "'ten'"]),
        ("training.epochs=true", ["training.epochs", "True"]),
        ("training.epochs=0", ["training.epochs", "greater than or equal to 1", "0"]),
        ("training.epochs=2.5", ["training.epochs", "2.5"]),
        ("training.learning_rate=-1", ["training.learning_rate", "above 0", "-1"]),
        ("training.learning_rate=.nan", ["training.learning_rate", "nan"]),
        ("training.optimizer=adma", ["training.optimizer", "'adam'", "'adma'"]),
        ("model.dropout=1", ["model.dropout", "less than 1"]),
        ("model.filters=[]", ["model.filters", "at least 1"]),
        ("model.filters=[32,0]", ["model.filters.1", "0"]),
        ("model.padding=sane", ["model.padding", "'valid' or 'same'", "'sane'"]),
        ("data.fit=cropped", ["data.fit", "'stretch', 'crop' or 'pad'", "'cropped'", "Did you mean 'crop'?"]),
        ("data.validation=1", ["data.validation", "less than 1"]),
        ("data.range=[5,1]", ["data.range", "black < white"]),
        ("data.image_size=2", ["data.image_size", "greater than or equal to 4"]),
        ("training.epochs", ["KEY=VALUE", "training.epochs"]),
        ("=3", ["KEY=VALUE"]),
        ("training.epochs=[1", ["training.epochs", "[1"]),
        ("recipe=lap", ["recipe", "lab", "'lap'"]),
        ("training.threads=0", ["training.threads", "greater than or equal to 1"]),
        ("model.layers=3", ["model.layers", "list of layers", "3"]),
        ("model.layers=[]", ["model.layers", "at least one"]),
        ("model.layers=[{type: Conv3D}]", ["model.layers.0", "Did you mean 'Conv2D'"]),
        ("model.layers=[{type: Conv2D}]", ["model.layers.0.filters", "required"]),
        ("model.layers=[{type: Dense, units: 3, unts: 4}]", ["model.layers.0.unts", "Did you mean 'units'"]),
    ],
)
def test_wrong_values_are_named_with_what_was_expected(pair: str, parts: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        load_recipe([pair])
    message = str(caught.value)
    assert "\n" not in message
    assert "pydantic" not in message
    for part in parts:
        assert part.lower() in message.lower(), message


@pytest.mark.parametrize(
    ("pair", "key", "expected", "got", "suggestion"),
    [
        ("training.epochs=0", "training.epochs", "at least 1", "0", ""),
        ("data.validation=1", "data.validation", "below 1", "1", ""),
        ("training.epochs=ten", "training.epochs", "an integer", "'ten'", ""),
        ("model.layers=[{type: Dense, units: 0}]", "model.layers.0.units", "at least 1", "0", ""),
        ("trainning.epochs=3", "trainning.epochs", "", "", "training.epochs"),
        ("data.fit=strech", "data.fit", "'stretch', 'crop' or 'pad'", "'strech'", "stretch"),
        ("data.fit=3", "data.fit", "'stretch', 'crop' or 'pad'", "3", ""),
        ("model.padding=sane", "model.padding", "'valid' or 'same'", "'sane'", "same"),
        (
            "model.layers=[{type: Conv2D, filters: 3, padding: vali}]",
            "model.layers.0.padding",
            "'valid' or 'same'",
            "'vali'",
            "valid",
        ),
        ("recipe=lap", "recipe", "one of fast, best, lab, transfer", "'lap'", "lab"),
    ],
)
def test_an_error_about_a_key_has_its_parts_as_values(
    pair: str, key: str, expected: str, got: str, suggestion: str
) -> None:
    with pytest.raises(RequestError) as caught:
        load_recipe([pair])
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        parts = (error.key, error.expected, error.got, error.suggestion)
        assert parts == (key, expected, got, suggestion)


def test_layers_and_shorthand_together_are_refused() -> None:
    with pytest.raises(RequestError, match=r"model\.layers and model\.filters both"):
        load_recipe(["model.filters=[1]", "model.layers=[{type: Flatten}]"])


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(RequestError, match="given twice"):
        load_recipe(["training.epochs=1", "training.epochs=2"])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("training: [1", "not valid YAML"),
        ("- 1\n- 2\n", "expected sections"),
        ("training: 3\n", "training"),
        ("training: {epoch: 3}\n", "Did you mean 'training.epochs'"),
        ("epochs: 3\n", "epochs"),
        ("model: {layers: [{type: [a]}]}", r"model\.layers\.0: .*got \['a'\]"),
        ("recipe: [a]", r"recipe: expected one of .*; got \['a'\]"),
        ("training: 2024-13-45", "Unknown key 'training'"),
        ("training: {epochs: 1:30}", "training.epochs: expected an integer; got '1:30'"),
        ("training: {epochs: 1}\ntraining.epochs: 2", "given twice"),
        ("x: " + "[" * 3000, "not valid YAML .*nested more than 100 deep"),
        ("- " * 3000, "not valid YAML .*nested more than 100 deep"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, part: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(RequestError, match=part):
        load_recipe([], file)


def test_a_file_that_is_missing_or_binary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("none.yaml", "binary.yaml"):
        with pytest.raises(RequestError, match="cannot read it"):
            load_recipe([], tmp_path / name)


def test_a_network_has_at_most_200_layers() -> None:
    assert len(load_recipe({"model.layers": [{"type": "Flatten"}] * 200}).model.layers) == 200
    for given_keys in (
        {"model.layers": [{"type": "Flatten"}] * 201},
        {"model.filters": [8] * 100, "model.convs": 2},
    ):
        with pytest.raises(RequestError, match=r"model\.layers: expected at most 200 entries; got \d+"):
            load_recipe(given_keys)


def test_specifications_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe().training.epochs = 3  # type: ignore[misc]


shorthands = st.builds(
    Shorthand,
    filters=st.lists(st.integers(1, 64), min_size=1, max_size=4).map(tuple),
    kernel_size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    padding=st.sampled_from(["valid", "same"]),
    pooling=st.sampled_from(["max", "average"]),
    batch_norm=st.booleans(),
    dropout=st.sampled_from([0.0, 0.1, 0.5]),
    head=st.sampled_from(["flatten", "global_average"]),
    dense=st.lists(st.integers(1, 64), max_size=3).map(tuple),
)


@given(
    short=shorthands,
    epochs=st.integers(1, 1000),
    rate=st.floats(1e-12, 100.0),
    seed=st.integers(0, 2**31 - 1),
)
def test_yaml_reads_back_to_an_equal_specification(
    short: Shorthand, epochs: int, rate: float, seed: int
) -> None:
    given_keys = {"training.epochs": epochs, "training.learning_rate": rate, "training.seed": seed}
    recipe = load_recipe(given_keys).model_copy(update={"model": expand(short)})
    again = yaml.safe_load(recipe.to_yaml())
    flat = {
        f"{section}.{key}": float(value) if key == "learning_rate" else value
        for section, values in again.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
    assert load_recipe({"recipe": again["recipe"], **flat}) == recipe


def test_the_saved_file_reads_back(tmp_path: Path) -> None:
    recipe = load_recipe(["training.learning_rate=1e-12", "data.range=[0,1]", "model.dropout=0.3"])
    (tmp_path / "config.yaml").write_text(recipe.to_yaml())
    assert load_recipe([], tmp_path / "config.yaml") == recipe


def test_keys_lists_every_field() -> None:
    assert len(keys()) == len(set(keys()))
    assert {"training.epochs", "model.filters", "model.layers", "data.image_size", "recipe"} <= set(keys())
    assert isinstance(load_recipe(), Recipe)
