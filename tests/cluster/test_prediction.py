"""``conviction predict --on ray``: every picture answered once, as without a cluster, whatever is killed or refuses."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from conviction.artefacts.card import Card, LearnedFrom
from conviction.cluster.prediction import predict_folder
from conviction.cluster.request import read_manifest
from conviction.cluster.storage import open_storage, pictures_in
from conviction.data.decode import SUFFIXES, DecodingRule
from conviction.data.listing import list_pictures
from conviction.data.tree import open_tree
from conviction.data.unused import PassedOver
from conviction.errors import ClusterError, OutputError, RequestError, SourceError
from tests.cluster.conftest import cluster_of
from tests.conftest import Cli, environment
from tests.patience import PATIENCE

# A node is missed after a second, instead of half a minute.
SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 100,
    "health_check_failure_threshold": 10,
}
CLASSES = ("cat", "dog", "newt")
SIDE = 12
# Says each shard when its part is there, so that a test can do harm between two of them.
DRIVER = """
import json, sys
from conviction.cluster.prediction import predict_folder
from conviction.errors import ConvictionError
def watch(shards, total):
    print(json.dumps({"total": total}), flush=True)
    for shard in shards:
        print(json.dumps({"shard": shard}), flush=True)
        yield shard
model, source, out, size = sys.argv[1:]
try:
    done = predict_folder(model, source, out, shard=int(size), watch=watch)
    print(json.dumps({"predicted": done.predicted, "unreadable": len(done.unreadable)}), flush=True)
except ConvictionError as failure:
    print(json.dumps({"error": str(failure), "code": failure.exit_code}), flush=True)
"""


def write_model(path: Path, seed: int = 0) -> Path:
    """A network of one layer as ``conviction export`` writes it, but for TensorFlow and its seconds."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.3, (SIDE * SIDE * 3, len(CLASSES))).astype(np.float32)
    constants = {
        "w": weights,
        "scale": np.float32(1 / 255),
        "shape": np.array([0, -1], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["float", "scale"], ["small"]),
            helper.make_node("Reshape", ["small", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ],
        "one_layer",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = Card(
        name="one layer",
        kind="onnx",
        class_names=CLASSES,
        decoding=DecodingRule(color_mode="rgb", height=SIDE, width=SIDE),
        data=LearnedFrom(name="noise", licence=None, images_by_class={}),
        specification={},
        test=None,
        limits=(),
        provenance={},
    )
    model.metadata_props.add(key="conviction", value=card.model_dump_json())
    path.write_bytes(model.SerializeToString())
    return path


def write_pictures(folder: Path, count: int, distinct: int = 200) -> Path:
    """So many names, in folders of 1,000, for so many different pictures; those beyond are links to the same files."""
    rng = np.random.default_rng(7)
    for i in range(count):
        path = folder / f"{i // 1000:03d}" / f"{i:06d}.{'jpg' if i % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < distinct:
            Image.fromarray(rng.integers(0, 256, (SIDE + i % 5, SIDE, 3), np.uint8)).save(path)
        else:
            same = i % distinct
            os.link(folder / f"{same // 1000:03d}" / f"{same:06d}.{'jpg' if same % 2 else 'png'}", path)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """401 pictures, and three that are none."""
    folder = write_pictures(tmp_path_factory.mktemp("pictures") / "all", 400)
    (folder / "000" / "000007b.png").write_bytes(b"no picture")
    (folder / "empty.jpg").touch()
    (folder / "cut.png").write_bytes((folder / "000" / "000000.png").read_bytes()[:100])
    shutil.copy(folder / "000" / "000001.jpg", folder / "000" / "a pattern[0-9]*.jpg")
    (folder / "notes.txt").write_text("not even by its name")
    return folder


@contextmanager
def driver(model: Path, source: Path | str, out: Path | str, size: int, **how: Any) -> Iterator[Any]:
    """A process that predicts, and what it says."""
    home = environment(model.parent / "home", {"RAY_ADDRESS": how.pop("cluster").address})
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(model), str(source), str(out), str(size)],
        env=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """The rest of it, to its end."""
    out, errors = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]  # Ray prints there, too
    assert process.returncode == 0, errors
    return lines


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Its next line."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


def answers(out: Path) -> list[dict[str, Any]]:
    """All predictions, in the order of the parts."""
    import pyarrow.parquet as pq

    parts = sorted((out / "predictions").glob("part-*.parquet"))
    return [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]


def unreadable(out: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(out / "unreadable.parquet")["file"].to_pylist()


def listed(folder: Path) -> list[str]:
    return [str(p) for p in sorted(folder.rglob("*")) if p.suffix in SUFFIXES]


def check_each_once(out: Path, folder: Path) -> None:
    counts = Counter([row["file"] for row in answers(out)] + unreadable(out))
    assert counts == Counter(listed(folder)), "every picture, and every one once"


@pytest.mark.full
def test_a_network_on_a_backbone_answers_on_a_cluster_as_it_does_here(
    cluster: Any, cli: Cli, transferred: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    exported = cli("export", transferred, "--format", "onnx", "--out", "exports")
    assert exported.code == 0, exported.err
    command = ("predict", "exports/model.onnx", transferred.parent / "pictures")
    here = cli(*command, "--out", "here.parquet", afresh=True)
    assert here.code == 0, here.err
    there = cli(*command, "--on", "ray", "--out", "there", env={"RAY_ADDRESS": cluster.address}, afresh=True)
    assert there.code == 0, there.err
    expected = pq.read_table(tmp_path / "here.parquet")
    assert len(expected) == 72
    assert len(set(expected["label"].to_pylist())) == 3
    rows = pq.read_table(tmp_path / "there" / "predictions").sort_by("file")
    assert rows.select(["file", "label"]).equals(expected.sort_by("file").select(["file", "label"]))


def test_answers_are_those_without_a_cluster(
    cluster: Any, cli: Cli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    # As people type it: from the folder above.
    shutil.copytree(pictures, tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("not a picture")
    here = cli("predict", model, "mine", "--abstain-below", "0.6", "--out", "here.parquet", afresh=True)
    there = cli(
        *("predict", model, "mine", "--abstain-below", "0.6", "--on", "ray", "--out", "there"),
        env={"RAY_ADDRESS": cluster.address},
        afresh=True,
    )
    assert here.code == 0, here.err
    assert there.code == 0, there.err
    expected = pq.read_table(tmp_path / "here.parquet")
    found = pq.read_table(tmp_path / "there" / "predictions")
    assert found.schema.equals(expected.schema), "without their metadata"
    assert found.select(["file", "label"]).equals(expected.select(["file", "label"]))
    assert 0 < found["label"].null_count < len(found), "the network abstains from some, and some are not"
    for mine, theirs in zip(found.to_pylist(), expected.to_pylist(), strict=True):
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)
    left_out = [line for line in here.err.splitlines() if line.startswith("left out")]
    assert len(left_out) == 3
    assert [line for line in there.err.splitlines() if line.startswith("left out")] == left_out
    not_used = "Not used: 1 file without the ending of a picture file (notes.txt)."
    assert not_used in here.err
    assert not_used in there.err
    assert "401 predictions of 404 pictures are in there/predictions." in there.err
    assert unreadable(tmp_path / "there") == [
        line.split(":")[0].removeprefix("left out ") for line in left_out
    ]


@pytest.mark.full
@pytest.mark.parametrize("number", [pytest.param(2_000, marks=pytest.mark.long), None])
def test_a_node_is_killed_and_every_picture_is_answered_once(
    model: Path, tmp_path: Path, number: int | None
) -> None:
    """The whole of it is 100,000 pictures; CONVICTION_TEST_PICTURES makes it another number."""
    number = number or int(os.environ.get("CONVICTION_TEST_PICTURES", "100000"))
    folder, out = write_pictures(tmp_path / "pictures", number), tmp_path / "out"
    size = number // 40
    with (
        cluster_of(0, 1, 1, _system_config=SOON) as cluster,
        driver(model, folder, out, size, cluster=cluster) as process,
    ):
        assert told(process) == {"total": 40}
        told(process)
        # Both nodes of the pool have shards; what this one had is answered by the other.
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        assert said(process)[-1] == {"predicted": number, "unreadable": 0}
    check_each_once(out, folder)


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_driver_is_killed_and_the_same_command_goes_on(
    cluster: Any, model: Path, pictures: Path, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "out"
    with driver(model, pictures, out, 10, cluster=cluster) as process:
        assert told(process) == {"total": 41}
        first = [told(process)["shard"] for _ in range(5)]
        process.send_signal(how)
        rest, problems = process.communicate(timeout=PATIENCE)
    if how != signal.SIGKILL:
        assert process.returncode == 0, problems
        expected = (
            f"Stopped by {how.name}. What has been answered is kept; the same command continues from there."
        )
        assert json.loads(rest.splitlines()[-1]) == {"error": expected, "code": 128 + how}
    kept = {path: path.stat().st_mtime_ns for path in (out / "predictions").glob("part-*")}
    assert {f"part-{shard:06d}.parquet" for shard in first} <= {path.name for path in kept}
    assert not (out / "unreadable.parquet").exists()
    with driver(model, pictures, out, 99, cluster=cluster) as process:
        total, *shards, end = said(process)
    assert end == {"predicted": 401, "unreadable": 3}
    # What the nodes still finished after the kill may be there, too.
    assert total["total"] == len(shards) <= 36
    assert not {shard["shard"] for shard in shards} & set(first)
    assert all(path.stat().st_mtime_ns == kept[path] for path in list(kept)[:5])
    check_each_once(out, pictures)
    assert {path.name for path in out.iterdir()} == {
        "predictions", "unreadable.parquet", "listing.parquet", "manifest.json"
    }  # fmt: skip
    assert all(path.name.startswith("part-") for path in (out / "predictions").iterdir())
    assert predict_folder(model, str(pictures), str(out)).predicted == 401, "and needs no cluster any more"


MANIFEST = {
    "version": 1, "id": "0a", "artefact": "0b", "source": "/pictures", "abstain_below": 0.5, "prefix": "pictures",
    "shard": 100, "images": 401, "unused": [],
}  # fmt: skip


def test_a_manifest_comes_back_with_names_that_are_not_unicode(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(
        json.dumps(MANIFEST | {"source": "/b\udce4ume", "prefix": "b\udce4ume"})
    )
    manifest = read_manifest(open_storage(str(tmp_path)))
    assert manifest is not None
    assert (manifest.source, manifest.prefix, manifest.images) == ("/b\udce4ume", "b\udce4ume", 401)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        "[" * 100_000,
        "null",
        json.dumps({"version": 1}),
        json.dumps(MANIFEST | {"version": 2}),
        json.dumps(MANIFEST | {"shard": 0}),
        json.dumps(MANIFEST | {"images": "401"}),
        json.dumps(MANIFEST | {"abstain_below": float("nan")}),
        json.dumps(MANIFEST | {"unused": [{"kind": "none of ours"}]}),
    ],
)
def test_a_damaged_manifest_is_a_line_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(
        OutputError, match=r"manifest.json: the file is damaged, or was written by another version"
    ):
        read_manifest(open_storage(str(tmp_path)))


@pytest.mark.full
def test_parts_that_are_not_what_was_listed(
    cluster: Any, model: Path, pictures: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    out = tmp_path / "out"
    with driver(model, pictures, out, 100, cluster=cluster) as process:
        assert said(process)[-1] == {"predicted": 401, "unreadable": 3}
    part = out / "predictions" / "part-000002.parquet"
    whole = part.read_bytes()
    table = pq.ParquetFile(part).read()
    pq.write_table(table.slice(1), part)
    with pytest.raises(ClusterError, match=r"part-000002.parquet: has 99 predictions .* of 100. Remove it"):
        predict_folder(model, str(pictures), str(out))
    part.write_bytes(whole[:1000])
    with pytest.raises(ClusterError, match=r"part-000002.parquet: cannot be read"):
        predict_folder(model, str(pictures), str(out))
    part.unlink()
    with driver(model, pictures, out, 100, cluster=cluster) as process:
        assert said(process) == [{"total": 1}, {"shard": 2}, {"predicted": 401, "unreadable": 3}]
    assert pq.ParquetFile(part).read().equals(table)


@pytest.mark.full
def test_another_request_in_the_same_folder_is_refused(
    cluster: Any, model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with driver(model, pictures, out, 1000, cluster=cluster) as process:
        assert said(process)[-1] == {"predicted": 401, "unreadable": 3}
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    other = write_model(tmp_path / "other.onnx", seed=1)
    with pytest.raises(OutputError, match="its artefact is"):
        predict_folder(other, str(pictures), str(out))
    with pytest.raises(OutputError, match="its source is"):
        predict_folder(model, str(pictures / "000"), str(out))
    with pytest.raises(OutputError, match=r"its abstain_below is 0.0, not 0.5. Name another folder with out"):
        predict_folder(model, str(pictures), str(out), 0.5)
    with pytest.raises(
        OutputError, match="expected a new folder, or one of an earlier prediction; it holds 000"
    ):
        predict_folder(model, str(pictures), str(pictures))
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.full
def test_wrong_requests_say_so(cli: Cli, model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    ray = ("--on", "ray", "--out", "out")
    for arguments, message in [
        ((model, pictures, "--on", "mars"), "expected local or ray"),
        ((model, pictures, "--on", "ray"), "give --out FOLDER"),
        ((model, pictures, *ray, "--csv"), "neither --json nor --csv"),
        ((model, pictures, pictures, *ray), "expected one folder or address; got 2"),
        ((model, tmp_path / "empty", *ray), "found no picture"),
        ((model, tmp_path / "nowhere", *ray), "there is no such folder"),
        ((model, model, *ray), "it cannot be listed"),
        (("run", pictures, *ray), "conviction export run --format onnx"),
        ((model, pictures, *ray, "--abstain-below", "2"), "from 0 to 1"),
        ((model, pictures, *ray[:-1], model), "this is a file"),
        ((model, "nothing://there", *ray), "expected a folder or an address that fsspec knows"),
    ]:
        done = cli("predict", *arguments)
        assert done.code == 2, done.err
        assert message in done.err
        assert "Traceback" not in done.err
        assert not (tmp_path / "out").exists()


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="needs a path that means another folder to each process")
def test_a_node_without_the_data_is_named(cluster: Any, model: Path, pictures: Path, tmp_path: Path) -> None:
    with driver(model, "/proc/self/cwd", tmp_path / "out", 100, cluster=cluster, cwd=pictures) as process:
        end = said(process)[-1]
    assert end["code"] == 1
    # Of three shards at once, whichever is tried first.
    assert re.search(
        r"/proc/self/cwd/\S+ cannot be reached, nor can the rest of its shard \(it was listed, but is gone\); "
        r"is /proc/self/cwd a folder that every node sees\? What has been answered is kept",
        end["error"],
    )
    assert any(node["NodeID"][:8] in end["error"] for node in nodes(cluster))
    assert not list((tmp_path / "out").glob("predictions/*"))
    (tmp_path / "there").mkdir()
    with driver(model, pictures, "/proc/self/cwd", 100, cluster=cluster, cwd=tmp_path / "there") as process:
        assert "is /proc/self/cwd a folder that every node sees?" in said(process)[-1]["error"]


def nodes(cluster: Any) -> list[dict[str, Any]]:
    return cluster.global_state.node_table()


@pytest.mark.full
def test_a_node_without_conviction(model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "path" / "conviction").mkdir(parents=True)
    (tmp_path / "path" / "conviction" / "__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path / "path"))  # before the one that is installed
        with cluster_of(1) as cluster:
            patch.undo()
            with driver(model, pictures, tmp_path / "out", 100, cluster=cluster) as process:
                end = said(process)[-1]
    assert end["code"] == 1
    assert "the cluster failed" in end["error"]
    assert "No module named 'conviction.cluster'" in end["error"]


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512  # each node asks for 64 pictures at once


class Store(http.server.SimpleHTTPRequestHandler):
    """A folder over HTTP, of which a part is refused."""

    refused: str = ""

    def do_GET(self) -> None:
        if self.refused and self.refused in self.path:
            self.send_error(403)
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def store(folder: Path, refused: str = "") -> Iterator[str]:
    handler = type("Refusing", (Store,), {"refused": refused})
    with Server(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.full
def test_pictures_behind_an_address(cluster: Any, model: Path, pictures: Path, tmp_path: Path) -> None:
    with (
        store(pictures) as address,
        driver(model, address, tmp_path / "far", 100, cluster=cluster) as process,
    ):
        assert said(process)[-1] == {"predicted": 401, "unreadable": 3}
    with driver(model, pictures, tmp_path / "near", 100, cluster=cluster) as process:
        assert said(process)[-1] == {"predicted": 401, "unreadable": 3}
    far, near = answers(tmp_path / "far"), answers(tmp_path / "near")
    assert [unquote(row["file"]).removeprefix(address) for row in far] == [
        row["file"].removeprefix(str(pictures)) for row in near
    ]
    assert [row["probabilities"] for row in far] == [row["probabilities"] for row in near]


@pytest.mark.full
def test_a_storage_that_refuses(cluster: Any, model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with store(pictures, refused="000250.png") as address:
        with driver(model, address, out, 100, cluster=cluster) as process:
            end = said(process)[-1]
        assert end.get("code") == 1, end
        assert f"{address}/000/000250.png: the storage refuses" in end["error"]
        assert "403" in end["error"]
    with (
        store(pictures, refused="/") as address,
        pytest.raises(SourceError, match=r"it cannot be listed .*403"),
    ):
        predict_folder(model, address, str(tmp_path / "other"))
    with pytest.raises(RequestError, match="Connect"):
        predict_folder(model, "http://127.0.0.1:1", str(tmp_path / "other"))


def test_addresses_that_need_a_package(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(RequestError, match="pip install s3fs, on every node"):
        predict_folder(model, "s3://bucket/pictures", str(tmp_path / "out"))


def test_a_listing_is_in_the_order_of_paths_wherever_it_is(tmp_path: Path) -> None:
    import fsspec

    names = ["b.png", "a/z.JPG", "a/b/c.png", "a.b/x.gif", "a b/é.png", "B/0.tiff", "a/ä.webp", "a-/1.bmp"]
    memory = fsspec.filesystem("memory")
    beside = ["a/no.txt", "a/.hidden.png", ".DS_Store", "more.zip", "labels.csv"]
    for name in [*names, *beside]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
        memory.pipe_file(f"/listed/{name}", b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "linked.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none.png")
    os.mkfifo(tmp_path / "pipe.png")
    passed: list[PassedOver] = []
    found = [name for name, _ in pictures_in(open_storage(str(tmp_path)), passed)]
    expected = sorted(p for p in tmp_path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    assert found == [
        str(p.relative_to(tmp_path)) for p in expected if not {"loop", ".hidden.png"} & {*p.parts}
    ]
    dangling = ("broken_link", "dangling.png")  # without a cluster it is a picture that cannot be read
    assert dangling in passed
    with open_tree(tmp_path) as tree:
        assert sorted(p for p in passed if p != dangling) == sorted(list_pictures(tree).passed)
    there: list[PassedOver] = []
    far = list(pictures_in(open_storage("memory://listed"), there))
    assert far == [(name, 1) for name in found if name != "linked.png"]
    links = ("broken_link", "repeated_folder", "special_file")
    assert sorted(there) == sorted(p for p in passed if p[0] not in links)


@pytest.mark.full
def test_names_that_are_not_text(cluster: Any, model: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(pictures / "000" / "000000.png", os.path.join(os.fsencode(folder), b"caf\xe9.png"))
    with driver(model, folder, tmp_path / "out", 100, cluster=cluster) as process:
        assert said(process)[-1] == {"predicted": 1, "unreadable": 0}
    assert [row["file"] for row in answers(tmp_path / "out")] == [f"{folder}/caf\\udce9.png"]
