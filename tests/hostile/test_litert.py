"""LiteRT files that were made to do harm: each is refused by name before its runtime sees it."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.artefacts.bounds import MOST_NODES
from conviction.artefacts.formats import litert_graph
from tests.hostile import models as made
from tests.hostile.conftest import Ours

pytestmark = pytest.mark.full

OTHERS = (
    *(
        "WHILE",
        "IF",
        "CALL",
        "CALL_ONCE",
        "CUSTOM",
        "DELEGATE",
        "VAR_HANDLE",
        "READ_VARIABLE",
        "ASSIGN_VARIABLE",
    ),
    *(
        "HASHTABLE",
        "HASHTABLE_FIND",
        "HASHTABLE_IMPORT",
        "RANDOM_UNIFORM",
        "RANDOM_STANDARD_NORMAL",
        "MULTINOMIAL",
    ),
    *(
        "BROADCAST_TO",
        "TILE",
        "FILL",
        "RANGE",
        "ONE_HOT",
        "WHERE",
        "UNIQUE",
        "NON_MAX_SUPPRESSION_V4",
        "SKIP_GRAM",
    ),
    *("LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "SVDF", "EMBEDDING_LOOKUP_SPARSE", "LSH_PROJECTION", "RFFT2D"),
    *("RESIZE_BILINEAR", "SPACE_TO_BATCH_ND", "STABLEHLO_WHILE", "STABLEHLO_CUSTOM_CALL", "SCATTER_ND"),
)


@pytest.mark.parametrize("operation", OTHERS)
def test_a_built_in_operator_that_no_network_has_is_refused(
    ours: Ours, tmp_path: Path, operation: str
) -> None:
    from ai_edge_litert import schema_py_generated as schema

    code = getattr(schema.BuiltinOperator, operation)

    def change(model: Any) -> None:
        model.operatorCodes[0].builtinCode = code
        model.operatorCodes[0].deprecatedBuiltinCode = min(code, 127)

    path = made.litert_with(ours("litert"), tmp_path / "model.tflite", change)
    assert operation in made.refusal(path, "litert")


def weights_of(model: Any) -> Any:
    """The tensor of a kernel, and its data."""
    return next(
        t
        for t in model.subgraphs[0].tensors
        if t.type == 0 and len(t.shape) == 4 and model.buffers[t.buffer].data is not None
    )


def data_with(number: float) -> Callable[[Any], object]:
    def change(model: Any) -> None:
        buffer = model.buffers[weights_of(model).buffer]
        buffer.data = np.concatenate([np.frombuffer(struct.pack("<f", number), np.uint8), buffer.data[4:]])

    return change


def scale_of_nan(model: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    quantization = schema.QuantizationParametersT()
    quantization.scale = [float("nan")]
    model.subgraphs[0].tensors[0].quantization = quantization


def sparse_tensor(model: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    weights_of(model).sparsity = schema.SparsityParametersT()


LITERT: dict[str, tuple[Callable[[Any], object], str]] = {
    "a custom operator": (lambda model: setattr(model.operatorCodes[0], "customCode", "Evil"), "Evil"),
    "an operator of TensorFlow": (
        lambda model: setattr(model.operatorCodes[0], "customCode", "FlexSaveV2"),
        "FlexSaveV2",
    ),
    "an operator that there is not": (
        lambda model: setattr(model.operatorCodes[0], "builtinCode", 9_999),
        "an unknown operator",
    ),
    "two graphs": (lambda model: model.subgraphs.append(model.subgraphs[0]), "it has 2"),
    "no graph": (lambda model: setattr(model, "subgraphs", []), "it has 0"),
    "options of a custom operator": (
        lambda model: setattr(model.subgraphs[0].operators[0], "customOptions", [1, 2]),
        "options of a custom operator",
    ),
    "options beyond the model": (
        lambda model: setattr(model.subgraphs[0].operators[0], "largeCustomOptionsSize", 10**9),
        "options of a custom operator",
    ),
    "an operator that changes variables": (
        lambda model: setattr(model.subgraphs[0].operators[0], "mutatingVariableInputs", [True]),
        "variables",
    ),
    "an operator that is not listed": (
        lambda model: setattr(model.subgraphs[0].operators[0], "opcodeIndex", 200),
        "damaged",
    ),
    "an input that is not there": (
        lambda model: setattr(model.subgraphs[0].operators[0], "inputs", [10**6]),
        "damaged",
    ),
    "an input before all": (
        lambda model: setattr(model.subgraphs[0].operators[0], "inputs", [-(10**6)]),
        "damaged",
    ),
    "an output that is not there": (
        lambda model: setattr(model.subgraphs[0], "outputs", [10**6]),
        "damaged",
    ),
    "weights that are not there": (lambda model: setattr(weights_of(model), "buffer", 10**6), "damaged"),
    "more weights than their data": (
        lambda model: setattr(weights_of(model), "shape", [46_000, 46_000, 1, 1]),
        "declares",
    ),
    "numbers without end": (
        lambda model: setattr(model.subgraphs[0].tensors[0], "shape", [2**31 - 1] * 4),
        "declares",
    ),
    "weights of a negative size": (
        lambda model: setattr(weights_of(model), "shape", [-1, -3, 3, 4]),
        "damaged",
    ),
    "less data than weights": (
        lambda model: setattr(model.buffers[weights_of(model).buffer], "data", np.zeros(3, np.uint8)),
        "declares",
    ),
    "data beyond the model": (
        lambda model: setattr(model.buffers[weights_of(model).buffer], "offset", 10**6),
        "outside its model",
    ),
    "text": (lambda model: setattr(weights_of(model), "type", 5), "STRING"),
    "a resource": (lambda model: setattr(model.subgraphs[0].tensors[0], "type", 13), "RESOURCE"),
    "a variant": (lambda model: setattr(model.subgraphs[0].tensors[0], "type", 14), "VARIANT"),
    "a variable": (lambda model: setattr(model.subgraphs[0].tensors[0], "isVariable", True), "type"),
    "sparse weights": (sparse_tensor, "type"),
    "weights of NaN": (data_with(float("nan")), "not finite"),
    "weights of infinity": (data_with(float("-inf")), "not finite"),
    "a scale of NaN": (scale_of_nan, "not finite"),
    "more tensors than any network": (
        lambda model: model.subgraphs[0].tensors.extend([model.subgraphs[0].tensors[0]] * MOST_NODES),
        "larger network",
    ),
}


@pytest.mark.parametrize("what", LITERT)
def test_a_litert_model_that_none_of_ours_is_like(ours: Ours, beside_others: Path, what: str) -> None:
    change, words = LITERT[what]
    path = made.litert_with(ours("litert"), beside_others / "model.tflite", change)
    assert words in made.refusal(path, "litert")


@pytest.mark.parametrize("seed", range(40))
def test_a_litert_model_with_changed_bytes_is_opened_or_refused(
    ours: Ours, tmp_path: Path, seed: int
) -> None:
    """Offsets of a flatbuffer may point anywhere; looking through it raises nothing but our error, and ends."""
    rng = np.random.default_rng(seed)
    whole = ours("litert").read_bytes()
    content = bytearray(whole[: whole.rindex(b"PK\x03\x04")])
    for _ in range(int(rng.integers(1, 40))):
        content[int(rng.integers(8, len(content)))] = int(rng.integers(0, 256))
    with contextlib.suppress(litert_graph.ArtefactError):
        litert_graph.check_model(bytes(content), tmp_path)


def test_none_of_them_is_among_ours() -> None:
    assert not litert_graph.OPERATIONS & set(OTHERS)
