"""The lists of what a model file may hold: long enough for every network, and no longer."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.artefacts.formats import FORMATS, litert_graph, onnx_graph, saved_graph
from conviction.config.model import ModelSpec
from conviction.model import network_file
from tests.hostile import models as made
from tests.hostile.networks import of_every_layer, of_maps

pytestmark = pytest.mark.full

# What only pretrained networks have; tests/artefacts/test_backbones.py opens each of them in every format.
OF_BACKBONES = {
    "saved_model": {"DepthwiseConv2dNative", "Pad", "RealDiv", "Relu6", "SquaredDifference", "StopGradient"},
    "onnx": {"Clip", "Gemm", "Pad", "Reciprocal", "Sqrt"},
    "litert": {"DEPTHWISE_CONV_2D", "HARD_SWISH", "NEG", "PAD", "RSQRT", "SQUARED_DIFFERENCE"},
    "keras": {
        *("Add", "DepthwiseConv2D", "LayerNormalization", "LayerScale", "Multiply", "ReLU"),
        *("VarianceScaling", "ZeroPadding2D"),
    },
}
ALLOWED = {
    "saved_model": saved_graph.OPERATIONS,
    "onnx": onnx_graph.OPERATIONS,
    "litert": litert_graph.OPERATIONS,
    # A run's own network is a Sequential; what is exported of it is a Functional.
    "keras": network_file.CLASSES - {"Sequential"},
}


def held(path: Path, form: str) -> set[str]:
    """What an export has for its answers, by name."""
    if form == "onnx":
        import onnx

        return {node.op_type for node in onnx.load(path).graph.node}
    if form == "litert":
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
        return {names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes}
    if form == "saved_model":
        from tensorflow.core.protobuf import saved_model_pb2

        content = saved_graph.only_what_answers((path / "saved_model.pb").read_bytes(), path)
        graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
        return {node.op for function in graph.library.function for node in function.node_def}
    with zipfile.ZipFile(path) as archive:
        return set(classes_of({**json.loads(archive.read("config.json")), "compile_config": None}))


def classes_of(part: Any) -> list[str]:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    own = [part["class_name"]] if isinstance(part, dict) and "class_name" in part else []
    return [*own, *(name for one in inner for name in classes_of(one))]


NETWORKS: list[tuple[ModelSpec, tuple[int, int, int], int, int]] = [
    (of_every_layer(), (41, 39, 3), 3, 1),
    (of_maps(), (16, 16, 1), 2, 6),
]


@pytest.mark.parametrize("form", FORMATS)
def test_every_kind_of_layer_is_opened_in_every_format(tmp_path: Path, form: str) -> None:
    seen: set[str] = set()
    for number, (spec, shape, classes, views) in enumerate(NETWORKS):
        for quantized in (None, "float16", "int8") if FORMATS[form].quantizes else (None,):
            folder = tmp_path / f"{number}-{quantized}"
            path = made.export(
                form, folder, spec, shape=shape, classes=classes, quantized=quantized, views=views
            )
            opened = FORMATS[form].read(path, 1)
            answered = opened.predict_pixels(np.zeros((2, *shape), np.uint8)).probabilities
            assert answered.shape == (2, classes)
            seen |= held(path, form)
    assert seen | OF_BACKBONES[form] == ALLOWED[form], "the list has what no network has, or lacks something"
    assert not seen & OF_BACKBONES[form]
