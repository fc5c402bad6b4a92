"""A command that is sent to a cluster as a Ray job."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from conviction.cluster import jobs
from conviction.errors import ClusterError
from tests.cluster.conftest import cluster_of
from tests.conftest import environment, run_cli
from tests.patience import PATIENCE

SMALL = ["digits", "training.epochs=1", "model.filters=[4,4]", "model.dense=[16]", "training.batch_size=128"]
ASKED = ["explore", *SMALL, "--vary", "model.kernel_size=5", "--seeds", "1"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        # A job calls `python`, which has to be one that has conviction, as on any node.
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        with cluster_of(1, dashboard=True) as cluster:
            yield f"http://{cluster.webui_url}"


def results(folder: Path) -> dict[str, object]:
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return {t["key"]: t["value"]["history"] for t in lines}


@pytest.mark.full
def test_the_command_runs_there_and_is_seen_here(address: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    sent = [*ASKED, "--on", "ray", "--out", str(tmp_path / "there")]
    done = run_cli(*sent, cwd=tmp_path, home=home, env={"RAY_ADDRESS": address})
    assert done.code == 0, done.err
    assert done.err.startswith("On Ray: job raysubmit_")
    assert "On Ray: 1 node, 1 CPU; room for 1 trial at once." in done.out
    assert f"The page is {tmp_path / 'there' / 'report.html'}." in done.out
    here = run_cli(*ASKED, "--out", "here", cwd=tmp_path, home=home)
    assert here.code == 0, here.err
    assert results(tmp_path / "there") == results(tmp_path / "here")
    again = run_cli(*sent, "--json", cwd=tmp_path, home=home, env={"RAY_ADDRESS": address})
    assert again.code == 0, again.err
    assert again.json["folder"] == str(tmp_path / "there")


class Dropping(socketserver.BaseRequestHandler):
    """Passes bytes on to and fro, and drops the first connection on which a job's first words come back."""

    def handle(self) -> None:
        server: Any = self.server
        with socket.create_connection(server.behind) as behind:
            while True:
                for end in select.select([self.request, behind], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    (behind if end is self.request else self.request).sendall(data)
                    if b"Running entrypoint" in data and not server.dropped:
                        server.dropped = True
                        return


@pytest.mark.full
@pytest.mark.long
def test_a_connection_that_drops_is_made_again(address: str, tmp_path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dropping) as server:
        server.daemon_threads = True
        server.behind = ("127.0.0.1", urlsplit(address).port)
        server.dropped = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run_cli(
            *(*ASKED, "--on", "ray", "--out", str(tmp_path / "there")),
            cwd=tmp_path,
            home=tmp_path / "home",
            env={"RAY_ADDRESS": f"http://127.0.0.1:{server.server_address[1]}"},
        )
        server.shutdown()
    assert server.dropped
    assert done.code == 0, done.err
    assert done.out.count("Running entrypoint") == 1
    assert done.out.count(f"The page is {tmp_path / 'there' / 'report.html'}.") == 1


def test_a_job_server_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
            yield "begun\n"
            raise ConnectionRefusedError(f"nobody there about {job}")

    monkeypatch.setattr(jobs, "LOST", 0.0)
    with pytest.raises(ClusterError, match=r"nobody there about one.*Job one may still be running"):
        jobs._followed(Gone(), "one", jobs._Output(as_json=True))


class Starting:
    """A job server whose nodes take no jobs yet."""

    def __init__(
        self, refusals: int, reason: str = "No available agent to submit job, please try again later."
    ) -> None:
        self.left, self.reason = refusals, reason

    def submit_job(self, **how: str) -> str:
        self.left -= 1
        if self.left >= 0:
            raise RuntimeError(f"Request failed with status code 500: {self.reason}")
        return f"job of {how['entrypoint']}"


def test_a_cluster_that_has_just_begun_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOOK", 0.0)
    assert jobs._submitted(Starting(3), entrypoint="x") == "job of x"
    with pytest.raises(ClusterError, match=r"does not take the job: .* disk is full"):
        jobs._submitted(Starting(1, "the disk is full"), entrypoint="x")
    monkeypatch.setattr(jobs, "LOST", 0.0)
    with pytest.raises(ClusterError, match=r"does not take the job: .*No available agent"):
        jobs._submitted(Starting(1000), entrypoint="x")


@pytest.mark.full
@pytest.mark.long
def test_a_training_is_sent_as_well(address: str, tmp_path: Path) -> None:
    sent = ["fit", *SMALL, "recipe=lab", "--on", "ray", "--workers", "1"]
    where = {"cwd": tmp_path, "home": tmp_path / "home", "env": {"RAY_ADDRESS": address}}
    refused = run_cli(*sent, "--out", "runs/here", **where)
    assert refused.code == 2
    assert "a folder that does not last" in refused.err
    done = run_cli(*sent, "--out", str(tmp_path / "there"), **where)
    assert done.code == 0, done.err + done.out
    assert done.err.startswith("On Ray: job raysubmit_")
    assert "Training on 1 worker of 1 CPU each on Ray" in done.out
    assert json.loads((tmp_path / "there" / "environment.json").read_text())["trained_on"]["workers"] == 1


@pytest.mark.full
def test_its_exit_code_and_reason_come_back(address: str, tmp_path: Path) -> None:
    sent = ["explore", "nothing-there", *ASKED[2:], "--on", "ray", "--out", str(tmp_path / "there")]
    done = run_cli(*sent, cwd=tmp_path, home=tmp_path / "home", env={"RAY_ADDRESS": address})
    assert done.code == 2
    assert "conviction: " in done.out
    assert "nothing-there" in done.out
    assert not (tmp_path / "there").exists()


@pytest.mark.full
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_a_signal_stops_the_job(number: signal.Signals, address: str, tmp_path: Path) -> None:
    from ray.job_submission import JobSubmissionClient

    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "conviction",
            *ASKED[:-1],
            "99",
            "--on",
            "ray",
            "--out",
            str(tmp_path / "there"),
        ],
        cwd=tmp_path,
        env=environment(tmp_path / "home", {"RAY_ADDRESS": address}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    before = []
    for line in process.stdout:
        before.append(line)
        if "validation accuracy" in line:
            break
    else:
        pytest.fail(f"It ended by itself: {''.join(before)}{process.communicate()[1]}")
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, said
    assert "the same command continues from there" in said
    known = JobSubmissionClient(address).list_jobs()
    assert {job.status for job in known if "99" in (job.entrypoint or "")} == {"STOPPED"}
