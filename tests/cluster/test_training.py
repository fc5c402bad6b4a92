"""Training on several workers: the losses of one, also after workers and nodes were killed; and clear words."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from conviction.cluster.crew import _error_line
from tests.cluster.conftest import cluster_of
from tests.conftest import Cli, Result, coloured_pictures, environment
from tests.patience import PATIENCE

# State of every kind, and a last batch that does not divide; plain gradient steps, because Adam makes steps of full
# size out of gradients that are nothing but rounding.
KEYS = (
    "model.filters=[4]",
    "model.dense=[8]",
    "model.dropout=0.2",
    "model.batch_norm=true",
    "augmentation.shift=0.1",
    "augmentation.rotate=10",
    "training.optimizer=sgd",
    "training.learning_rate=0.02",
    "training.schedule=one_cycle",
    "training.ema=0.9",
    "training.class_weights=balanced",
    "training.early_stopping=90",
    "training.precision=float32",
)
JAX = {"KERAS_BACKEND": "jax"}


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """Two CPUs each."""
    with cluster_of(2, 2) as made:
        yield made


def history(run: Path) -> list[list[float]]:
    with (run / "history.csv").open() as file:
        return [[float(value) for value in row.values()] for row in csv.DictReader(file)]


def assert_same_training(run: Path, reference: Path) -> None:
    """Sums of a batch in another order: the losses differ by rounding, and no answer changes but one at the edge."""
    one, other = np.array(history(reference)), np.array(history(run))
    assert one.shape == other.shape
    names = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    for name, a, b in zip(names, one.T, other.T, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-4, atol=0.01 if "accuracy" in name else 0, err_msg=name)


@pytest.fixture
def ray_cli(cli: Cli) -> Callable[..., Result]:
    """With a cluster first."""

    def call(cluster: Any, *arguments: str | Path, **env: str) -> Result:
        return cli(*arguments, afresh=True, env={"RAY_ADDRESS": cluster.address, **env})

    return call


@pytest.mark.full
@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.long), 4])
def test_several_workers_have_the_losses_of_one_machine(
    two_nodes: Any, cli: Cli, ray_cli: Callable[..., Result], tmp_path: Path, workers: int
) -> None:
    keys = [*KEYS, "training.batch_size=64", "training.epochs=3"]
    here = cli("fit", "digits", *keys, "--out", "here", env=JAX)
    assert here.code == 0, here.err
    name = f"on-{workers}"
    done = ray_cli(two_nodes, "fit", "digits", *keys, "--on", "ray", "--workers", str(workers), "--out", name)
    assert done.code == 0, done.err
    share = f"global batch 64 = {workers} x {64 // workers}; the learning rate stays"
    assert share in " ".join(done.out.split())
    assert_same_training(tmp_path / name, tmp_path / "here")
    trained_on = json.loads((tmp_path / name / "environment.json").read_text())["trained_on"]
    assert (trained_on["workers"], trained_on["restarts"]) == (workers, 0)
    assert len(trained_on["history"][0]["nodes"]) == (2 if workers == 4 else 1)
    # What was learned was brought home: the model that was saved answers as validation did.
    evaluation = json.loads((tmp_path / name / "evaluation.json").read_text())
    last = history(tmp_path / name)[-1]
    assert evaluation["validation"]["accuracy"] == pytest.approx(last[4], abs=1e-6)


def start(cluster: Any, tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "conviction", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path / "home", {"RAY_ADDRESS": cluster.address}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], found: Callable[[str], bool]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found(line):
            return line
    pytest.fail(f"it ended before: {process.communicate()[1]}")


def is_epoch(line: str) -> bool:
    first, _, rest = line.strip().partition(" ")
    return first.isdigit() and "%" in rest


def workers_of(node: Any) -> list[psutil.Process]:
    """The processes that train on a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [p for p in raylet.children(recursive=True) if "ray::Worker" in " ".join(p.cmdline())]


@pytest.mark.full
def test_training_outlives_a_worker_and_a_node_and_the_files_of_its_images(
    cli: Cli, tmp_path: Path, image_folder: Callable[..., Path]
) -> None:
    """And has the losses of one that nothing happened to, which is more than an accuracy within the seeds' spread."""
    pictures = image_folder(per_class=150)
    keys = [*KEYS, "augmentation.mixup=0.2", "training.batch_size=16", "training.epochs=60"]
    here = cli("fit", str(pictures), *keys, "--out", "here", env=JAX)
    assert here.code == 0, here.err
    with cluster_of(1, 1) as cluster:
        other = next(iter(cluster.worker_nodes))
        command = ["fit", str(pictures), *keys, "--on", "ray", "--workers", "2", "--out", "run"]
        process = start(cluster, tmp_path, *command)
        read_until(process, is_epoch)
        shutil.rmtree(pictures)
        (victim,) = workers_of(other)
        victim.kill()
        said = read_until(process, lambda line: "lost" in line)
        assert "Training continues from the end of epoch" in said
        assert "on 2 workers" in said
        read_until(process, is_epoch)
        cluster.remove_node(other, allow_graceful=False)
        said = read_until(process, lambda line: "lost" in line)
        assert "on 1 worker of 1 CPU" in said
        assert "global batch 16 = 1 x 16" in said
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert_same_training(tmp_path / "run", tmp_path / "here")
    trained_on = json.loads((tmp_path / "run" / "environment.json").read_text())["trained_on"]
    assert trained_on["restarts"] == 2
    assert [part["workers"] for part in trained_on["history"]] == [2, 2, 1]


@pytest.mark.full
def test_a_signal_ends_all_workers_at_one_step_and_another_number_of_them_goes_on(
    two_nodes: Any, cli: Cli, ray_cli: Callable[..., Result], tmp_path: Path
) -> None:
    keys = [*KEYS, "training.batch_size=64", "training.epochs=15"]
    assert cli("fit", "digits", *keys, "--out", "here", env=JAX).code == 0
    process = start(
        two_nodes, tmp_path, "fit", "digits", *keys, "--on", "ray", "--workers", "2", "--out", "run"
    )
    read_until(process, is_epoch)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, err
    assert "continue with: conviction resume run --on ray --workers 2" in err
    done = len(history(tmp_path / "run"))
    assert 1 <= done < 15
    wrong = ray_cli(two_nodes, "resume", "run", "--on", "ray", "--workers", "3")
    assert (wrong.code, len(history(tmp_path / "run"))) == (2, done)
    assert "training.batch_size=64: expected a multiple of 3" in wrong.err
    resumed = ray_cli(two_nodes, "resume", "run", "--on", "ray", "--workers", "1")
    assert resumed.code == 0, resumed.err
    assert_same_training(tmp_path / "run", tmp_path / "here")


def refused(result: Result, *parts: str) -> None:
    assert result.code == 2, result.err
    last = result.err.strip().splitlines()[-1]
    assert last.startswith("conviction: ")
    assert "Traceback" not in result.err
    for part in parts:
        assert part in last


def test_what_does_not_go_together_is_refused(cli: Cli, tmp_path: Path) -> None:
    refused(cli("fit", "digits", "--workers", "2"), "only with --on ray")
    refused(cli("fit", "digits", "--on", "mars"), "--on: expected local or ray; got 'mars'")
    refused(cli("fit", "digits", "--on", "ray"), "Try --on ray --workers 2")
    refused(cli("fit", "digits", "--on", "ray", "--workers", "0"), "--workers: expected at least 1; got 0.")
    other = cli("fit", "digits", "--on", "ray", "--workers", "2", env={"KERAS_BACKEND": "tensorflow"})
    refused(other, "on JAX only, and the backend is tensorflow. Set KERAS_BACKEND=jax")
    assert not (tmp_path / "runs").exists()


@pytest.mark.full
@pytest.mark.parametrize("learns", [pytest.param("head", marks=pytest.mark.long), "1"])
def test_a_backbone_trains_on_workers_as_it_does_here_and_goes_on_without_them(
    two_nodes: Any, cli: Cli, ray_cli: Callable[..., Result], tmp_path: Path, learns: str
) -> None:
    coloured_pictures(tmp_path / "pictures")
    epochs = 2 if learns == "head" else 1
    keys = [
        "recipe=transfer",
        f"model.trainable={learns}",
        "data.image_size=32",
        "model.dropout=0",
        "augmentation.flip=none",
        "training.batch_size=16",
        "training.optimizer=sgd",
        "training.learning_rate=0.01",
        "training.weight_decay=0",
        "training.precision=float32",
    ]
    fit = ["fit", "pictures", *keys, f"training.epochs={epochs}"]
    assert cli(*fit, "--out", "here", env=JAX).code == 0
    done = ray_cli(two_nodes, *fit, "--on", "ray", "--workers", "2", "--out", "run")
    assert done.code == 0, done.err
    assert_same_training(tmp_path / "run", tmp_path / "here")
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["validation"]["accuracy"] == pytest.approx(history(tmp_path / "run")[-1][4], abs=1e-6)
    # The state is that of what is trained, wherever it is trained.
    for run in ("run", "here") if learns == "head" else ():
        more = cli("resume", run, f"training.epochs={epochs + 1}", env=JAX)
        assert more.code == 0, more.err
    assert_same_training(tmp_path / "run", tmp_path / "here")


@pytest.mark.full
def test_folds_are_not_trained_on_workers(
    two_nodes: Any, ray_cli: Callable[..., Result], tmp_path: Path
) -> None:
    keys = [*KEYS, "evaluation.folds=2x1"]
    result = ray_cli(two_nodes, "fit", "digits", *keys, "--on", "ray", "--workers", "1")
    refused(result, "evaluation.folds=2x1: the networks of the folds are trained on one machine", "--on ray")
    assert not (tmp_path / "runs").exists()


MEETS = """
import sys, time
from conviction.cluster.training_worker import GroupMember, _join, kept_port
rank, port = int(sys.argv[1]), sys.argv[2]
if rank == 0:
    kept = kept_port()
    port = kept.getsockname()[1]
    print(port, flush=True)
agree = _join(GroupMember(rank, 2, f"127.0.0.1:{port}"))
if rank == 1:
    time.sleep(35)
print(agree(rank == 1), flush=True)
"""


@pytest.mark.full
def test_a_worker_that_is_slow_to_build_its_network_is_waited_for() -> None:
    """Gloo, which connects them, waits for 30 seconds; nothing shorter than that shows the fault."""
    environment = {**os.environ, **JAX, "JAX_PLATFORMS": "cpu"}

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MEETS, *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    with start("0", "") as first:
        assert first.stdout is not None
        with start("1", first.stdout.readline().strip()) as second:
            for process in (first, second):
                answer, errors = process.communicate(timeout=PATIENCE)
                assert answer.splitlines()[-1:] == ["True"], errors[-2000:]


def test_the_error_of_a_worker_is_named_whatever_its_length() -> None:
    traceback = (
        'ray::Worker.train()\n  File "worker.py", line 3, in train\nAssertionError: unlike: [[1. 2.\n 3.]]'
    )
    assert _error_line(Exception(traceback)) == "AssertionError: unlike: [[1. 2."
    assert _error_line(Exception("The actor died.")) == "The actor died."
    assert _error_line(ValueError("")) == "ValueError"


@pytest.mark.full
def test_a_cluster_that_cannot_do_it_is_named_and_nothing_is_written(
    two_nodes: Any, ray_cli: Callable[..., Result], tmp_path: Path
) -> None:
    on = ["--on", "ray", "--workers"]
    refused(
        ray_cli(two_nodes, "fit", "digits", *on, "8"),
        "--workers 8: expected at most 4, for workers of 1 CPU; the cluster has 2 nodes, 4 CPUs",
    )
    refused(ray_cli(two_nodes, "fit", "digits", *on, "2", "--gpus-per-worker", "1"), "expected at most 0")
    large = ["recipe=lab", "data.image_size=300", "model.filters=[4]", "model.dense=[4]"]
    refused(
        ray_cli(two_nodes, "fit", "digits", *large, *on, "2"), "the object store of the node", "has 95 MiB"
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.full
@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("keras-0.1.dist-info/METADATA", "has keras 0.1 ("),
        ("conviction/__init__.py", "no worker could start on the node"),
    ],
)
def test_a_node_with_other_packages_is_named(
    planted: str, said: str, ray_cli: Callable[..., Result], tmp_path: Path
) -> None:
    place = tmp_path / "planted" / planted
    place.parent.mkdir(parents=True)
    place.write_text(
        "Name: keras\nVersion: 0.1\n" if "keras" in planted else "raise ImportError('not installed')\n"
    )
    with cluster_of(0) as cluster:
        path = os.pathsep.join([str(tmp_path / "planted"), os.environ.get("PYTHONPATH", "")])
        cluster.add_node(num_cpus=1, object_store_memory=100_000_000, env_vars={"PYTHONPATH": path})
        refused(ray_cli(cluster, "fit", "digits", "--on", "ray", "--workers", "1"), said)
    assert not (tmp_path / "runs").exists()
