"""ONNX files that were made to do harm: each is refused by name before onnxruntime sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conviction.artefacts.bounds import MOST_NODES
from conviction.artefacts.formats import onnx_graph
from tests.hostile import models as made
from tests.hostile.conftest import Ours

pytestmark = pytest.mark.full

OTHERS = (
    *(
        "Loop",
        "If",
        "Scan",
        "SequenceMap",
        "SequenceAt",
        "SequenceConstruct",
        "Optional",
        "OptionalGetElement",
    ),
    *("ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Upsample", "NonZero", "OneHot", "EyeLike"),
    *("RandomNormal", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout", "LSTM", "GRU", "RNN"),
    *("StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer", "ImageDecoder"),
    *("ScatterND", "GatherND", "Unique", "TopK", "NonMaxSuppression", "Compress", "DFT", "STFT", "Einsum"),
    *("Identity", "CumSum", "\x1b[31mRed"),
)


@pytest.mark.parametrize("operation", OTHERS)
def test_an_operator_that_no_network_has_is_refused_by_name(
    ours: Ours, tmp_path: Path, operation: str
) -> None:
    def change(model: Any) -> None:
        model.graph.node.add(op_type=operation, name="harm")

    message = made.refusal(made.onnx_with(ours("onnx"), tmp_path / "model.onnx", change), "onnx")
    assert operation.strip("\x1b") in message


def tensor(**fields: Any) -> Callable[[Any], object]:
    """Changes the first weights."""

    def change(model: Any) -> None:
        first = model.graph.initializer[0]
        for name, value in fields.items():
            first.ClearField(name)
            if isinstance(value, list):
                getattr(first, name).extend(value)
            else:
                setattr(first, name, value)

    return change


def elsewhere(tensor: Any) -> None:
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def attribute(**fields: Any) -> Callable[[Any], object]:
    def change(model: Any) -> None:
        model.graph.node[0].attribute.add(name="harm", **fields)

    return change


def hostile_pads(model: Any) -> None:
    convolution = next(n for n in model.graph.node if n.op_type == "Conv")
    del convolution.attribute[:]
    convolution.attribute.add(name="pads", type=7, ints=[10**9] * 4)


ONNX: dict[str, tuple[Callable[[Any], object], str]] = {
    "weights in another file": (lambda model: elsewhere(model.graph.initializer[0]), "another file"),
    "weights of a node in another file": (
        lambda model: elsewhere(model.graph.node[0].attribute.add(name="value", type=4).t),
        "another file",
    ),
    "weights of a list in another file": (
        lambda model: elsewhere(model.graph.node[0].attribute.add(name="values", type=9).tensors.add()),
        "another file",
    ),
    "sparse weights in another file": (
        lambda model: elsewhere(model.graph.sparse_initializer.add().values),
        "another file",
    ),
    "sparse weights": (lambda model: model.graph.sparse_initializer.add(), "sparse weights"),
    "a graph within a node": (
        lambda model: model.graph.node[0].attribute.add(name="body", type=5).g.SetInParent(),
        "a graph within",
    ),
    "graphs within a node": (
        lambda model: model.graph.node[0].attribute.add(name="body", type=10).graphs.add(),
        "a graph within",
    ),
    "sparse weights within a node": (
        lambda model: model.graph.node[0].attribute.add(name="harm", type=11).sparse_tensor.SetInParent(),
        "harm of",
    ),
    "the attribute of a function": (attribute(ref_attr_name="x"), "harm of"),
    "a function": (lambda model: model.functions.add(name="f", domain="evil"), "functions"),
    "training": (lambda model: model.training_info.add(), "training"),
    "operators of another maker": (
        lambda model: setattr(model.graph.node[0], "domain", "com.evil"),
        "com.evil",
    ),
    "operators of onnxruntime's own": (
        lambda model: setattr(model.graph.node[0], "domain", "com.microsoft"),
        "com.microsoft",
    ),
    "a declaration of another maker": (
        lambda model: model.opset_import.add(domain="com.evil", version=1),
        "com.evil",
    ),
    "a border of a thousand million pixels": (hostile_pads, "a large pads of Conv"),
    "a kernel of a thousand million pixels": (attribute(type=7, ints=[10**9]), "a large harm"),
    "a negative number without end": (attribute(type=2, i=-(2**63)), "a large harm"),
    "weights that are not there": (tensor(dims=[10**6, 10**6]), "declares 1,000,000,000,000 numbers"),
    "more weights than numbers can say": (tensor(dims=[2**62, 2**62]), "declares"),
    "weights of a negative size": (tensor(dims=[-1, -4]), "damaged"),
    "weights that are text": (tensor(data_type=8), "STRING"),
    "weights that are complex": (tensor(data_type=14), "COMPLEX64"),
    "weights of a type that there is not": (tensor(data_type=99), "type"),
    "a second input": (lambda model: model.graph.input.add(name="more"), "expected one input"),
    "no input": (lambda model: model.graph.ClearField("input"), "expected one input"),
    "a second output": (lambda model: model.graph.output.add(name="more"), "one output"),
    "no card": (lambda model: model.ClearField("metadata_props"), "no model card"),
    "more operators than any network": (
        lambda model: [model.graph.node.add(op_type="Relu") for _ in range(MOST_NODES)],
        "larger network",
    ),
    "more weights than any network": (
        lambda model: [model.graph.initializer.add() for _ in range(MOST_NODES)],
        "larger network",
    ),
    "a node without inputs": (
        lambda model: model.graph.node[0].ClearField("input"),
        "onnxruntime cannot open it",
    ),
    "a circle": (
        lambda model: model.graph.node[0].input.__setitem__(0, "probabilities"),
        "onnxruntime cannot open it",
    ),
    "no operators": (lambda model: model.graph.ClearField("node"), "onnxruntime cannot open it"),
}


@pytest.mark.parametrize("what", ONNX)
def test_an_onnx_file_that_none_of_ours_is_like(ours: Ours, beside_others: Path, what: str) -> None:
    change, words = ONNX[what]
    path = made.onnx_with(ours("onnx"), beside_others / "model.onnx", change)
    assert words in made.refusal(path, "onnx")


def test_none_of_them_is_among_ours() -> None:
    assert not onnx_graph.OPERATIONS & set(OTHERS)
