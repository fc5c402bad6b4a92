"""How the server starts, what it refuses to start with, its workers, and its end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.test_bad_requests import assert_refused
from tests.conftest import Cli, environment
from tests.patience import PATIENCE
from tests.server.conftest import Made, Serve, encoded, noise, upload
from tests.without_extras import ONLY, modules_without_extras

ROOT = Path(__file__).parent.parent.parent
HEAVY = {"tensorflow", "keras", "scipy", "sklearn", "matplotlib", "jax", "h5py", "tf2onnx"}


def test_one_line_says_what_is_served_where(serve: Serve) -> None:
    with serve() as server:
        assert re.fullmatch(
            r"conviction serves run at http://127\.0\.0\.1:\d+ \(Ctrl-C ends it\)\n", server.line
        )
        assert server.stop() == 0
        assert server.log == []


def test_a_run_folder_means_its_export(cli: Cli, made: Made, tmp_path: Path, serve: Serve) -> None:
    from tests.server.conftest import serving

    with serving(made.run, tmp_path) as server, server.client() as client:
        assert client.get("/readyz").status_code == 200
    bare = tmp_path / "a run"
    bare.mkdir()
    (bare / "config.yaml").write_bytes((made.run / "config.yaml").read_bytes())
    refused = cli("serve", bare)
    assert_refused(refused, f"conviction export '{bare}' --format onnx")


def test_what_cannot_be_served_is_refused(cli: Cli, made: Made, tmp_path: Path) -> None:
    assert_refused(cli("serve", "nowhere.onnx"), "nowhere.onnx: there is no such")
    for name in ("model.tflite", "model.keras", "saved"):
        (tmp_path / name).mkdir() if name == "saved" else (tmp_path / name).write_bytes(b"x")
        assert_refused(cli("serve", name), name, "expected an .onnx file")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(made.onnx.read_bytes()[:1000])
    assert_refused(cli("serve", damaged), "damaged")
    damaged.write_bytes(b"")
    assert_refused(cli("serve", damaged), "no model card")
    assert_refused(cli("serve", made.onnx, "--workers", "0"), "--workers")
    assert cli("serve", made.onnx, "--port", "70000").code == 2


def test_a_place_that_cannot_be_had_is_refused(cli: Cli, made: Made) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refused(cli("serve", made.onnx, "--port", str(port)), f"127.0.0.1:{port}", "in use")
    assert_refused(cli("serve", made.onnx, "--host", "no.such.host.invalid"), "no such address")
    assert_refused(cli("serve", made.onnx, "--host", "203.0.113.1", env=WITH_KEY), "cannot listen there")


WITH_KEY = {"CONVICTION_API_KEY": "a-key-of-the-tests"}


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=pytest.mark.full)])
def test_others_need_a_key(cli: Cli, made: Made, serve: Serve, host: str) -> None:
    assert_refused(cli("serve", made.onnx, "--host", host), "CONVICTION_API_KEY")
    assert_refused(
        cli("serve", made.onnx, "--host", host, env={"CONVICTION_API_KEY": ""}), "CONVICTION_API_KEY"
    )
    if host == "::" and not socket.has_ipv6:
        return
    with serve(env=WITH_KEY, options={"host": host}) as server:
        address = f"http://127.0.0.1:{server.port}/v1/model"
        headers = {"host": "models.example", "x-api-key": WITH_KEY["CONVICTION_API_KEY"]}
        assert httpx.get(address, headers=headers, trust_env=False).status_code == 200
        assert httpx.get(address, headers={"host": "models.example"}, trust_env=False).status_code == 401


# Each top-level package that is imported after this hook is installed, and where it comes from.
LOADED = """
import atexit, json, sys
sys.argv = ["conviction", *sys.argv[1:]]
atexit.register(lambda: print(json.dumps(sorted({m.partition(".")[0] for m in sys.modules}))))
from conviction.cli.main import main
main()
"""


def test_serving_imports_nothing_that_training_needs(made: Made, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOADED, "serve", str(made.onnx), "--port", "0"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    address = re.search(r"http://\S+", process.stdout.readline())
    assert address
    with httpx.Client(base_url=address[0], timeout=PATIENCE, trust_env=False) as client:
        for route in ("/v1/predict", "/v1/occlusion"):
            for kind in ("PNG", "JPEG"):
                picture = encoded(noise(0, (300, 300)), kind)
                assert client.post(route, files=upload(picture)).status_code == 200
        for route in ("/", "/v1/model", "/metrics", "/openapi.json"):
            assert client.get(route).status_code == 200
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert not HEAVY & set(json.loads(out.splitlines()[-1]))


def test_the_package_without_extras_holds_what_serving_needs(made: Made, tmp_path: Path) -> None:
    allowed = modules_without_extras()
    assert not HEAVY & allowed
    process = subprocess.Popen(
        [sys.executable, "-c", ONLY, ",".join(sorted(allowed)), "serve", str(made.onnx), "--port", "0"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    address = re.search(r"http://\S+", line)
    assert address
    with httpx.Client(base_url=address[0], timeout=PATIENCE, trust_env=False) as client:
        for route in ("/v1/predict", "/v1/occlusion"):
            assert client.post(route, files=upload(encoded(noise(0), "JPEG"))).status_code == 200
        assert client.get("/metrics").status_code == 200
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


TOLD_EARLY = """
import os, signal, sys
import uvicorn
ask = uvicorn.Config.get_loop_factory
def told(self):
    os.kill(os.getpid(), signal.SIGTERM)
    return ask(self)
uvicorn.Config.get_loop_factory = told
from conviction.server.process import serve
serve(sys.argv[1], port=0)
"""


def test_a_signal_just_before_the_server_listens_to_signals_ends_it(made: Made, tmp_path: Path) -> None:
    early = subprocess.run(
        [sys.executable, "-c", TOLD_EARLY, str(made.onnx)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert early.returncode == 0, early.stderr


def processes_of(server: int) -> list[int]:
    """Its children, whichever of its threads started them; a thread that ends meanwhile does no harm."""
    return [child.pid for child in psutil.Process(server).children()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the workers in /proc")
def test_two_workers_answer_end_and_are_replaced(serve: Serve) -> None:
    picture = encoded(noise(0))
    with serve(options={"workers": 2}) as server:
        workers = processes_of(server.process.pid)
        assert len(workers) == 2
        for _ in range(20):
            with server.client() as client:
                assert client.post("/v1/predict", files=upload(picture)).status_code == 200
        with server.client() as client:
            text = client.get("/metrics").text
            assert 'conviction_requests_total{route="/v1/predict",status="200"} 20.0' in text
        # A worker that is killed well after the start is replaced.
        os.kill(workers[0], signal.SIGSTOP)
        os.kill(workers[0], signal.SIGCONT)
        deadline = threading.Event()
        deadline.wait(2.1)  # it counts as failed at its start until then
        os.kill(workers[0], signal.SIGKILL)
        while workers[0] in processes_of(server.process.pid) or len(processes_of(server.process.pid)) < 2:
            pass
        with server.client() as client:
            assert client.post("/v1/predict", files=upload(picture)).status_code == 200
        workers = processes_of(server.process.pid)
        assert server.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the workers in /proc")
def test_workers_do_not_outlive_a_killed_parent(serve: Serve) -> None:
    with serve(options={"workers": 2}) as server:
        workers = processes_of(server.process.pid)
        server.process.kill()
        server.process.wait(PATIENCE)
        # Nothing listens any more as soon as both are gone.
        while True:
            try:
                server.connect().close()
            except ConnectionResetError:
                continue  # accepted by the system, and dropped with the last worker
            except ConnectionRefusedError:
                break
        assert len(workers) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_no_request(serve: Serve, workers: int) -> None:
    """Clients that ask without a pause get an answer to whatever was accepted; then connections are refused."""
    picture = encoded(noise(0))
    outcomes: Counter[str] = Counter()
    under_load = threading.Semaphore(0)
    # A client may take its time between an answer and its next request; each is waited for, and told to come no more.
    with serve(seconds=0.02, closing=PATIENCE, options={"workers": workers}) as server:

        def ask() -> None:
            with server.client() as client:
                while True:
                    try:
                        response = client.post("/v1/predict", files=upload(picture))
                    except httpx.ConnectError:
                        outcomes["refused"] += 1
                        return
                    except httpx.HTTPError as failure:
                        outcomes[type(failure).__name__] += 1
                        return
                    outcomes[str(response.status_code)] += 1
                    under_load.release()

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for one in clients:
            one.start()
        for _ in range(100):
            under_load.acquire()
        assert server.stop() == 0
        for one in clients:
            one.join()
        assert outcomes.keys() == {"200", "refused"}, outcomes
        assert outcomes["refused"] == 8
        answered = [line for line in server.log if line["status"] == 200]
        assert len(answered) == outcomes["200"]


def test_while_it_drains_it_says_that_it_is_not_ready(serve: Serve) -> None:
    with serve(seconds=1.0) as server:
        with server.client() as kept, server.client() as client:
            assert kept.get("/readyz").status_code == 200
            answers: list[int] = []
            slow = threading.Thread(
                target=lambda: answers.append(
                    client.post("/v1/predict", files=upload(encoded(noise(0)))).status_code
                )
            )
            slow.start()
            while "conviction_queue_images 1.0" not in kept.get("/metrics").text:
                pass
            server.process.send_signal(signal.SIGTERM)
            statuses = []
            while True:
                try:
                    statuses.append(kept.get("/readyz").status_code)
                except httpx.TransportError:
                    break
            slow.join()
            assert answers == [200]
        assert server.process.wait(PATIENCE) == 0
        assert set(statuses) <= {200, 503}
        assert statuses[-1] == 503


def test_ctrl_c_ends_it_too(serve: Serve) -> None:
    with serve() as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert server.log == []
