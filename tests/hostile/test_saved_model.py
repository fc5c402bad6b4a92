"""SavedModels that were made to do harm: nothing of them is run, and TensorFlow sees only what was looked at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conviction.artefacts.bounds import MOST_NODES
from conviction.artefacts.formats import saved_graph
from tests.hostile import models as made
from tests.hostile.conftest import Ours

pytestmark = pytest.mark.full

# What TensorFlow would do: write, move, delete and read files, run code, print, end the process, talk, wait, loop.
HARMFUL = (
    *("SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints", "ShardedFilename", "RestoreV2", "Restore"),
    *("WriteFile", "ReadFile", "MatchingFiles", "ImmutableConst", "PyFunc", "EagerPyFunc", "PyFuncStateless"),
    *("DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummaryV2"),
    *(
        "CreateSummaryFileWriter",
        "CreateSummaryDbWriter",
        "WriteSummary",
        "WriteGraphSummary",
        "FlushSummaryWriter",
    ),
    *(
        "LMDBReader",
        "LMDBDataset",
        "TFRecordReaderV2",
        "TFRecordDataset",
        "TextLineReaderV2",
        "TextLineDataset",
    ),
    *("FixedLengthRecordReaderV2", "WholeFileReaderV2", "IdentityReaderV2", "ReaderReadV2", "SaveDatasetV2"),
    *(
        "LoadDataset",
        "SnapshotDatasetV2",
        "CacheDatasetV2",
        "IteratorV2",
        "OneShotIterator",
        "GeneratorDataset",
    ),
    *("HashTableV2", "InitializeTableFromTextFileV2", "LookupTableExportV2", "PrintV2", "Print", "LogString"),
    *("Assert", "Abort", "XlaLaunch", "RemoteCall", "_Send", "_Recv", "CollectiveReduceV2", "Barrier"),
    *(
        "While",
        "StatelessWhile",
        "If",
        "StatelessIf",
        "Case",
        "PartitionedCall",
        "MapDefun",
        "Enter",
        "Merge",
    ),
    *("FIFOQueueV2", "QueueDequeueV2", "TensorArrayV3", "StackV2", "StagingArea", "MutexV2", "DecodePng"),
    *("RandomUniform", "Fill", "Tile", "BroadcastTo", "Range", "OneHot", "Bincount", "SparseToDense"),
    *("SerializeTensor", "ParseTensor", "RegexReplace", "Unbatch", "CompositeTensorVariantFromComponents"),
    "\x1b]0;owned\x07",
)


@pytest.mark.parametrize("operation", HARMFUL)
def test_an_operation_that_no_network_has_is_refused_by_name(
    ours: Ours, tmp_path: Path, operation: str
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((ours("saved_model") / "saved_model.pb").read_bytes())
    made.serving_function(saved).node_def.add(name="harm", op=operation)
    with pytest.raises(saved_graph.ArtefactError, match="none of our networks has") as refused:
        saved_graph.only_what_answers(saved.SerializeToString(), tmp_path)
    assert operation[:1] == "\x1b" or operation in str(refused.value)
    assert str(refused.value).isprintable()


def test_only_an_export_s_own_operations_may_be_where_answers_are_made() -> None:
    """None of those that write or read is among them, so that the cases above cannot pass by a longer list."""
    assert not saved_graph.OPERATIONS & set(HARMFUL)


def in_a_function_of_its_own(saved: Any) -> None:
    """Where no object knows of it: TensorFlow would load it, and never call it."""
    function = saved.meta_graphs[0].graph_def.library.function.add()
    function.signature.name = "hidden"
    function.node_def.add(name="harm", op="WriteFile")


def called_from_the_answer(saved: Any) -> None:
    in_a_function_of_its_own(saved)
    hidden = saved.meta_graphs[0].graph_def.library.function[-1]
    hidden.node_def[0].op = "SaveV2"
    call = made.serving_function(saved).node_def.add(name="call", op="StatefulPartitionedCall")
    call.attr["f"].func.name = "hidden"


def called_in_a_list(saved: Any) -> None:
    called_from_the_answer(saved)
    attributes = made.serving_function(saved).node_def[-1].attr
    del attributes["f"]
    attributes["branches"].list.func.add(name="hidden")


def as_a_gradient(saved: Any) -> None:
    in_a_function_of_its_own(saved)
    saved.meta_graphs[0].graph_def.library.function[-1].node_def[0].op = "SaveV2"
    saved.meta_graphs[0].graph_def.library.registered_gradients.add(
        gradient_func="hidden", registered_op_type="CustomGradient-1"
    )


def as_an_object(saved: Any) -> None:
    in_a_function_of_its_own(saved)
    saved.meta_graphs[0].graph_def.library.function[-1].node_def[0].op = "MergeV2Checkpoints"
    saved.meta_graphs[0].object_graph_def.nodes.add().function.concrete_functions.append("hidden")


def many_operations(saved: Any) -> None:
    nodes = made.serving_function(saved).node_def
    for _ in range(MOST_NODES):
        nodes.add(op="Relu")


def node(saved: Any) -> Any:
    return saved.meta_graphs[0].object_graph_def.nodes.add()


def first_node(saved: Any) -> Any:
    return saved.meta_graphs[0].object_graph_def.nodes[0]


SAVED: dict[str, tuple[Callable[[Any], object], str]] = {
    "in the graph itself": (
        lambda saved: saved.meta_graphs[0].graph_def.node.add(name="harm", op="WriteFile"),
        "WriteFile",
    ),
    "in a function that nothing calls": (in_a_function_of_its_own, "WriteFile"),
    "saving, in a function that the answer calls": (called_from_the_answer, "SaveV2"),
    "saving, in one that is called in a list": (called_in_a_list, "SaveV2"),
    "saving, in a gradient": (as_a_gradient, "SaveV2"),
    "saving, in an object's function": (as_an_object, "MergeV2Checkpoints"),
    "the gradient of a known operation": (
        lambda saved: saved.meta_graphs[0].graph_def.library.registered_gradients.add(
            registered_op_type="MatMul"
        ),
        "MatMul",
    ),
    "a gradient of an older kind": (
        lambda saved: saved.meta_graphs[0].graph_def.library.gradient.add(gradient_func="old"),
        "old",
    ),
    "an asset": (lambda saved: node(saved).asset.SetInParent(), "asset"),
    "a resource": (lambda saved: node(saved).resource.SetInParent(), "resource"),
    "a constant": (lambda saved: node(saved).constant.SetInParent(), "constant"),
    "an object of no kind": (node, "nothing"),
    "an object of another class": (
        lambda saved: setattr(node(saved).user_object, "identifier", "_tf_keras_model"),
        "_tf_keras_model",
    ),
    "an optimizer": (lambda saved: setattr(node(saved).user_object, "identifier", "optimizer"), "optimizer"),
    "a registered class": (
        lambda saved: setattr(first_node(saved), "registered_name", "tf.Evil"),
        "tf.Evil",
    ),
    "a registered saver": (lambda saved: setattr(first_node(saved), "registered_saver", "Evil"), "Evil"),
    "functions that save an object": (
        lambda saved: first_node(saved).saveable_objects["x"].SetInParent(),
        "functions that save",
    ),
    "a file among the assets": (
        lambda saved: saved.meta_graphs[0].asset_file_def.add(filename="../../etc/passwd"),
        "../../etc/passwd",
    ),
    "two graphs": (lambda saved: saved.meta_graphs.add(), "expected one graph"),
    "no graph": (lambda saved: saved.ClearField("meta_graphs"), "expected one graph"),
    "a graph of TensorFlow 1": (
        lambda saved: saved.meta_graphs[0].ClearField("object_graph_def"),
        "expected one graph",
    ),
    "more operations than any network": (
        many_operations,
        "larger network",
    ),
    "more objects than any network": (
        lambda saved: [node(saved) for _ in range(MOST_NODES)],
        "larger network",
    ),
}


@pytest.mark.parametrize("what", SAVED)
def test_a_graph_that_none_of_ours_is_like(ours: Ours, beside_others: Path, what: str) -> None:
    change, words = SAVED[what]
    path = made.saved_with(ours("saved_model"), beside_others / "saved_model", change)
    assert words in made.refusal(path, "saved_model")


def test_of_two_functions_with_one_name_tensorflow_sees_the_one_that_was_looked_at(ours: Ours) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((ours("saved_model") / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    answering = made.serving_function(saved)
    twin = type(answering)()
    twin.CopyFrom(answering)
    twin.node_def.add(name="harm", op="SaveV2")
    whole = [type(twin).FromString(f.SerializeToString()) for f in functions]
    for order in ([twin, *whole], [*whole, twin]):
        del functions[:]
        functions.extend(order)
        try:
            pruned = saved_graph.only_what_answers(saved.SerializeToString(), Path("saved_model"))
        except saved_graph.ArtefactError:
            continue
        kept = saved_model_pb2.SavedModel.FromString(pruned).meta_graphs[0].graph_def
        assert "SaveV2" not in {n.op for f in kept.library.function for n in f.node_def}


def test_tensorflow_sees_no_operation_that_saves(ours: Ours) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    content = (ours("saved_model") / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(saved_graph.only_what_answers(content, Path())).meta_graphs[
        0
    ]
    operations = {n.op for f in graph.graph_def.library.function for n in f.node_def}
    assert operations <= saved_graph.OPERATIONS
    assert not graph.graph_def.node
    assert not graph.saver_def.save_tensor_name


SAVED_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file more": (lambda path: (path / "variables" / "more").touch(), "variables/more"),
    "a folder more": (lambda path: (path / "debug").mkdir(), "debug"),
    "an asset": (lambda path: (path / "assets" / "words.txt").touch(), "assets/words.txt"),
    "a link to a folder": (
        lambda path: ((path / "assets").rmdir(), (path / "assets").symlink_to("/etc")),
        "assets",
    ),
    "a million files": (
        lambda path: [(path / "assets" / str(number)).touch() for number in range(2_000)],
        "more",
    ),
    "another graph": (
        lambda path: (path / "saved_model.pb").write_bytes((path / "saved_model.pb").read_bytes() + b"\0"),
        "hashes",
    ),
    "no weights": (lambda path: (path / "variables/variables.index").unlink(), "no such file"),
    "weights that are a device": (
        lambda path: (
            (path / "variables/variables.data-00000-of-00001").unlink(),
            (path / "variables/variables.data-00000-of-00001").symlink_to("/dev/zero"),
        ),
        "device",
    ),
    "a graph that is no graph": (
        lambda path: ((path / "saved_model.pb").write_bytes(b"\xff" * 100), made.hashed(path)),
        "not what its name says",
    ),
    "weights cut short": (
        lambda path: (
            os.truncate(path / "variables/variables.data-00000-of-00001", 10),
            made.hashed(path),
        ),
        "declares",
    ),
    "weights of zeros": (
        lambda path: (
            (path / "variables/variables.index").write_bytes(bytes(1_000)),
            made.hashed(path),
        ),
        "TensorFlow cannot open it",
    ),
}


@pytest.mark.parametrize("what", SAVED_FILES)
def test_a_folder_that_none_of_ours_is_like(ours: Ours, beside_others: Path, what: str) -> None:
    change, words = SAVED_FILES[what]
    path = beside_others / "saved_model"
    shutil.copytree(ours("saved_model"), path)
    change(path)
    assert words in made.refusal(path, "saved_model")
