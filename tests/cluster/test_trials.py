"""``explore`` and ``tune`` on Ray: the same results as here, whatever happens to nodes and drivers."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from conviction.cluster.connection import connected
from conviction.errors import ClusterError
from conviction.pool import ray_tasks as ray_pool
from conviction.pool.processes import Task
from conviction.pool.ray_tasks import NodeShare, RayPool
from tests.cluster.conftest import cluster_of
from tests.conftest import environment, run_cli
from tests.patience import PATIENCE

TINY = ["digits", "model.filters=[4,4]", "model.dense=[16]", "training.batch_size=128"]
SMALL = [*TINY, "training.epochs=2"]
# Two specifications besides the base, over four seeds.
ASKED = [*SMALL, "--vary", "training.learning_rate=0.01,0.003", "--seeds", "4"]
TUNED = [*TINY, "training.epochs=3", "--trials", "4", "--confirm", "1", "--jobs", "1", "--no-test"]


def trials(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


def results(folder: Path) -> dict[str, Any]:
    """Each trial without what is measured in seconds; fails if one is there twice."""
    found: dict[str, Any] = {}
    for trial in trials(folder):
        assert trial["key"] not in found, "a trial was counted twice"
        value = trial["value"] or {}
        found[trial["key"]] = {k: v for k, v in value.items() if k not in ("timing", "seconds")}
    return found


def on(cluster: Any) -> dict[str, str]:
    return {"RAY_ADDRESS": cluster.address}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("local")
    done = run_cli("explore", *ASKED, "--out", "one", cwd=place, home=place / "home")
    assert done.code == 0, done.err
    return place / "one"


@pytest.mark.full
def test_results_and_folder_are_those_of_this_machine(cluster: Any, local: Path, tmp_path: Path) -> None:
    done = run_cli(
        "explore",
        *ASKED,
        "--on",
        "ray",
        "--out",
        "one",
        cwd=tmp_path,
        home=tmp_path / "home",
        env=on(cluster),
    )
    assert done.code == 0, done.err
    assert done.err == ""
    assert done.out.startswith("On Ray: 3 nodes, 3 CPUs; room for 3 trials at once.")
    assert results(tmp_path / "one") == results(local)
    assert len(results(local)) == 12
    names = [sorted(p.name for p in folder.iterdir()) for folder in (tmp_path / "one", local)]
    assert names[0] == names[1]


def started(arguments: list[str], cwd: Path, extra: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "conviction", *arguments],
        cwd=cwd,
        env=environment(cwd / "home", extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of_trials(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return (line for line in process.stdout if "seed" in line and "validation accuracy" in line)


def workers_of(node: Any, title: str = "ray::") -> list[psutil.Process]:
    """Processes of a node whose title begins so: ``ray::_run`` while a trial runs; ``ray::`` all."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children() if "".join(child.cmdline()).startswith(title)]


def kill_node(cluster: Any, node: Any) -> None:
    """As if its power had gone: Ray's own removal leaves the workers a while."""
    workers = workers_of(node)
    cluster.remove_node(node, allow_graceful=False)
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()


@pytest.mark.full
def test_a_node_is_killed_and_another_comes(tmp_path: Path) -> None:
    """24 trials on three nodes; each trial ends once, as it does on this machine."""
    rates = "training.learning_rate=0.01,0.003,0.0003"
    asked = [*TINY, "training.epochs=5", "--vary", rates, "--seeds", "6"]
    here = run_cli("explore", *asked, "--out", "here", cwd=tmp_path, home=tmp_path / "home")
    assert here.code == 0, here.err
    with cluster_of(1, 1, 1) as cluster:
        process = started(["explore", *asked, "--on", "ray", "--out", "there"], tmp_path, on(cluster))
        ended = lines_of_trials(process)
        for _ in range(4):
            next(ended)
        while not (busy := [node for node in cluster.worker_nodes if workers_of(node, "ray::_run")]):
            next(ended)
        kill_node(cluster, busy[0])
        for _ in range(3):
            next(ended)
        cluster.add_node(num_cpus=1)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
    assert said == ""
    found = trials(tmp_path / "there")
    assert len(found) == 24
    assert not [t["failure"] for t in found if t["failure"]]
    assert results(tmp_path / "there") == results(tmp_path / "here")
    # What was on the node that went has been tried again.
    assert max(t["attempts"] for t in found) >= 2


@pytest.mark.full
def test_a_killed_driver_leaves_no_trial_and_its_study_goes_on(
    cluster: Any, local: Path, tmp_path: Path
) -> None:
    asked = ["explore", *ASKED, "--on", "ray", "--out", "one"]
    process = started(asked, tmp_path, on(cluster))
    ended = lines_of_trials(process)
    for _ in range(3):
        next(ended)
    while not (workers := [w for node in cluster.list_all_nodes() for w in workers_of(node, "ray::_run")]):
        next(ended)
    handles = [os.pidfd_open(p.pid) for p in workers]
    process.kill()
    process.communicate()
    for handle in handles:
        ready, _, _ = select.select([handle], [], [], PATIENCE)
        os.close(handle)
        assert ready, "a worker of the killed command is still there"
    before = len(trials(tmp_path / "one"))
    assert 3 <= before < 12
    again = run_cli(*asked, cwd=tmp_path, home=tmp_path / "home", env=on(cluster))
    assert again.code == 0, again.err
    assert f"{before} of 12 runs are already finished" in again.out
    assert results(tmp_path / "one") == results(local)


@pytest.mark.full
def test_ctrl_c_says_how_to_go_on(cluster: Any, tmp_path: Path) -> None:
    process = started(["explore", *ASKED, "--on", "ray", "--out", "one"], tmp_path, on(cluster))
    next(lines_of_trials(process))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "to continue, run the same command with --out one." in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.full
@pytest.mark.long
def test_a_search_is_the_one_of_this_machine_pruning_and_all(cluster: Any, tmp_path: Path) -> None:
    """With one trial at a time, since Optuna's proposals depend on what has ended before."""
    pytest.importorskip("optuna")
    found = []
    for name, more in (("here", []), ("there", ["--on", "ray"])):
        done = run_cli(
            "tune",
            *TUNED,
            *more,
            "--out",
            name,
            "--json",
            cwd=tmp_path,
            home=tmp_path / "home",
            env=on(cluster),
        )
        assert done.code == 0, done.err
        found.append({k: v for k, v in done.json.items() if k != "folder"})
    assert "On Ray: 3 nodes" in done.err
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "address", "reason"),
    [
        ([], "127.0.0.1:1", "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1"),
        ([], "somewhere", "expected HOST:PORT"),
        ([], "http://127.0.0.1:1", "Give --out a folder there"),
        (
            ["--out", "/tmp/never"],
            "http://127.0.0.1:1",
            "RAY_ADDRESS=http://127.0.0.1:1 does not take Ray jobs",
        ),
        (["--cpus-per-trial", "0"], "127.0.0.1:1", "--cpus-per-trial: expected a number above 0"),
        (["--gpus-per-trial", "1.5"], "127.0.0.1:1", "--gpus-per-trial: expected a fraction of one"),
        (["--on", "rey"], "127.0.0.1:1", "Did you mean 'ray'"),
        (["--on", "local", "--gpus-per-trial", "1"], "127.0.0.1:1", "is for --on ray"),
    ],
)
def test_wrong_requests_write_nothing(
    tmp_path: Path, arguments: list[str], address: str, reason: str
) -> None:
    asked = ["explore", *ASKED, "--on", "ray", *arguments]
    result = run_cli(*asked, cwd=tmp_path, home=tmp_path / "home", env={"RAY_ADDRESS": address})
    assert result.code == 2
    assert reason in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "explorations").exists()


@pytest.mark.full
def test_no_room_is_said(cluster: Any, tmp_path: Path) -> None:
    asked = ["explore", *ASKED, "--on", "ray", "--cpus-per-trial", "2"]
    result = run_cli(*asked, cwd=tmp_path, home=tmp_path / "home", env=on(cluster))
    assert result.code == 2
    assert "none of 3 nodes, 3 CPUs has room for a trial of 2 CPUs and 0 GPUs" in result.err
    assert not (tmp_path / "explorations").exists()


@pytest.mark.full
def test_another_version_of_ray_is_said(cluster: Any, tmp_path: Path) -> None:
    code = (
        "import ray; ray.__version__ = '2.0.0'\n"
        "from conviction.cluster.connection import connected\n"
        "with connected(): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path, on(cluster)),
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "RequestError: on='ray': the cluster at" in last
    assert "a different version from this machine" in last
    assert "2.0.0" in last


@pytest.mark.full
@pytest.mark.parametrize("missing", [True, False])
def test_a_node_with_other_versions_is_named_before_anything_runs(
    tmp_path: Path, missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    if missing:
        (other / "conviction").mkdir(parents=True)
        (other / "conviction" / "__init__.py").write_text("raise ImportError('not installed')")
    else:
        (other / "keras-0.0.1.dist-info").mkdir(parents=True)
        (other / "keras-0.0.1.dist-info" / "METADATA").write_text("Name: keras\nVersion: 0.0.1\n")
    with cluster_of(1) as cluster:
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", str(other))
            cluster.add_node(num_cpus=1)
        result = run_cli(
            "explore", *ASKED, "--on", "ray", cwd=tmp_path, home=tmp_path / "home", env=on(cluster)
        )
    assert result.code == 2
    assert ("has no conviction" if missing else "has keras 0.0.1 (") in result.err
    assert not (tmp_path / "explorations").exists()


@pytest.mark.full
def test_two_tasks_share_a_gpu(tmp_path: Path) -> None:
    """Of a node that says that it has one; nothing computes on it."""
    with pytest.MonkeyPatch.context() as patch, cluster_of(2, num_gpus=1) as cluster:
        patch.setenv("RAY_ADDRESS", cluster.address)
        marks = [str(tmp_path / name) for name in "ab"]
        tasks = [Task(m, "tests.pool.faults:meets", {"mine": m, "other": o}) for m, o in (marks, marks[::-1])]
        with connected() as ray:
            assert NodeShare(1, 0.5).fits({"CPU": 2, "GPU": 1}) == 2
            with RayPool(ray, share=NodeShare(1, 0.5)) as pool:
                found = list(pool.run(iter(tasks)))
    assert [o.value for o in found] == [
        {
            "CUDA_VISIBLE_DEVICES": "0",
            "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.45",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }
    ] * 2


@pytest.mark.full
def test_lost_nodes_are_not_blamed_on_a_trial_and_no_node_left_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three nodes go, of which two are replaced; two deaths of a process would have been the end of the task."""
    monkeypatch.setattr(ray_pool, "WAIT", 3.0)
    heard = []
    with cluster_of(0, 1) as cluster:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)

        def hear(key: str, process: int) -> bool:
            heard.append(process)
            if len(heard) < 3:
                cluster.add_node(num_cpus=1)
            kill_node(cluster, next(n for n in cluster.worker_nodes if workers_of(n, "ray::_run")))
            return True

        waits = Task("a", "tests.pool.faults:says_its_number_and_waits", {"go": str(tmp_path / "never")})
        with (
            connected() as ray,
            RayPool(ray) as pool,
            pytest.raises(ClusterError, match="no node of the cluster"),
        ):
            list(pool.run(iter([waits]), hear))
    assert len(set(heard)) == 3
