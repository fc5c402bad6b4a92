"""``make bench-ray-predict``: prediction on a Ray cluster of one node against the local command; a node killed.

    CONVICTION_DATA_DIR=... python benchmarks/ray_prediction.py [--artefact FILE] [--images N] [--turns N]

The pictures are Fashion-MNIST's test images as PNG files, under as many names as asked for (hard links). Local and
cluster take turns, as whole commands; the cluster is already running, as it is for people who predict millions. Then
one of two nodes is killed when the first part is there, and every picture must have been answered once. Copy what it
prints to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STORE = 100_000_000  # bytes of each node's object store


def pictures(place: Path, number: int) -> Path:
    """The given number of names for Fashion-MNIST's 10,000 test images, in folders of 1,000."""
    from conviction.data import load_source

    folder = place / str(number)
    if folder.exists():
        return folder
    images = load_source("fashion_mnist")
    test = images.pixels[np.asarray(images.parts) == "test"][..., 0]
    making = place / f"{number}.part"
    shutil.rmtree(making, ignore_errors=True)
    for i in range(number):
        path = making / f"{i // 1000:04d}" / f"{i:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < len(test):
            Image.fromarray(test[i]).save(path)
        else:
            same = i % len(test)
            os.link(making / f"{same // 1000:04d}" / f"{same:07d}.png", path)
    making.rename(folder)
    return folder


@contextmanager
def cluster_of(*cpus: int) -> Iterator[Any]:
    """Nodes as processes of this machine."""
    from ray.cluster_utils import Cluster

    place = tempfile.mkdtemp(prefix="r-", dir="/tmp")  # paths of sockets have to be short
    os.environ["RAY_TMPDIR"] = place  # Ray's own may not exist yet
    cluster = Cluster(
        shutdown_at_exit=False
    )  # else a process of the first cluster ends this one with the second
    try:
        for number, count in enumerate(cpus):
            how = {} if number else {"include_dashboard": False}
            cluster.add_node(num_cpus=count, object_store_memory=STORE, **how)
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(place, ignore_errors=True)


def command(*words: str | Path, address: str = "") -> float:
    """Seconds that ``conviction predict`` takes."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "conviction", "predict", *map(str, words)],
        env={**os.environ, "RAY_ADDRESS": address},
        stderr=subprocess.PIPE,
        check=True,
    )
    return time.perf_counter() - began


def overhead(artefact: Path, folder: Path, number: int, turns: int, place: Path) -> None:
    """Local and cluster in turn."""
    import pyarrow.parquet as pq

    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    with cluster_of(os.cpu_count() or 1) as cluster:
        for _ in range(turns):
            shutil.rmtree(place / "ray", ignore_errors=True)
            seconds["local"].append(command(artefact, folder, "--out", place / "local.parquet"))
            seconds["ray"].append(
                command(artefact, folder, "--on", "ray", "--out", place / "ray", address=cluster.address)
            )
    for name, taken in seconds.items():
        shown = ", ".join(f"{number / t:,.0f}" for t in taken)
        print(f"{name}: {shown} images/s; median {number / statistics.median(taken):,.0f}")
    ratios = sorted(a / b for a, b in zip(seconds["local"], seconds["ray"], strict=True))
    print(
        f"rate on one node / local rate, turn by turn: {', '.join(f'{r:.2f}' for r in ratios)} (wanted: 0.80)"
    )
    here, there = pq.read_table(place / "local.parquet"), pq.read_table(place / "ray" / "predictions")
    assert there["file"].equals(here["file"])
    same = there["label"].equals(here["label"])
    names = [field.name for field in here.schema.field("probabilities").type]
    apart = max(float(np.abs(column(here, name) - column(there, name)).max()) for name in names)
    print(f"labels equal: {same}; greatest difference of a probability: {apart:.1e}")


def column(table: Any, name: str) -> np.ndarray:
    """(n,) probabilities of a class."""
    import pyarrow.compute as pc

    return pc.struct_field(table["probabilities"], name).to_numpy()


def killed(artefact: Path, folder: Path, number: int, place: Path) -> None:
    """One of two nodes is killed at the first part."""
    import pyarrow.parquet as pq

    out = place / "killed"
    shutil.rmtree(out, ignore_errors=True)
    script = (
        "import sys; from conviction.cluster.prediction import predict_folder\n"
        "def watch(shards, total):\n"
        "    for shard in shards: print(shard, flush=True); yield shard\n"
        "predict_folder(*sys.argv[1:], watch=watch)\n"
    )
    with cluster_of(0, 1, 1) as cluster:
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-c", script, str(artefact), str(folder), str(out)],
            env={**os.environ, "RAY_ADDRESS": cluster.address},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            rest = sum(line.strip().isdigit() for line in process.stdout)  # Ray prints there, too
        taken = time.perf_counter() - began
    assert process.returncode == 0
    counts = Counter(pq.read_table(out / "predictions")["file"].to_pylist())
    once = set(counts.values()) == {1} and len(counts) == number
    print(f"a node killed at the first of {rest + 1} parts: {len(counts):,} of {number:,} pictures answered, "
          f"each once: {once}; {taken:.0f} s")  # fmt: skip


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Prediction on a Ray cluster against the local command.")
    parser.add_argument("--artefact", type=Path, default=Path("runs/lab/exports/model.onnx"))
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--place", type=Path, default=Path("build/bench-ray"), help="For pictures and answers."
    )
    given = parser.parse_args()
    if not given.artefact.is_file():
        sys.exit(f"{given.artefact}: not there. Make it: conviction fit fashion_mnist recipe=lab --out runs/lab; "
                 "conviction export runs/lab --format onnx")  # fmt: skip
    given.place.mkdir(parents=True, exist_ok=True)
    folder = pictures(given.place, given.images)
    overhead(given.artefact, folder, given.images, given.turns, given.place)
    killed(given.artefact, folder, given.images, given.place)


if __name__ == "__main__":
    main()
