"""A small exported model, and the real server in a process of its own."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import environment, made_once, run_cli
from tests.patience import PATIENCE

# The same server with other limits, or with a network that takes its time or fails.
SERVE = """
import dataclasses, json, sys, time
from conviction.server import Limits, connection, process
path, options, limits, seconds, broken, closing = json.loads(sys.argv[1])
connection.CLOSING_SECONDS = closing
load = process.load

def changed(*given, **named):
    artefact = load(*given, **named)
    def answer(pixels):
        if broken:
            raise RuntimeError("planted")
        time.sleep(seconds)
        return artefact.answer(pixels)
    return dataclasses.replace(artefact, answer=answer) if seconds or broken else artefact

process.load = changed
process.serve(path, limits=Limits(**limits), **options)
"""


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    process: subprocess.Popen[str]
    line: str
    log_file: Path

    @property
    def address(self) -> str:
        found = re.search(r"http://\S+", self.line)
        assert found, self.line
        return found[0]

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has logged so far; every line is JSON."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def client(self, **how: Any) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=PATIENCE, trust_env=False, **how)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@dataclass(frozen=True)
class Made:
    """A run and what it exported."""

    run: Path
    onnx: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    def make(place: Path) -> None:
        keys = ["recipe=lab", "model.filters=[4]", "model.dense=[8]", "training.epochs=2"]
        for command in (["fit", "digits", *keys, "--out", "run"], ["export", "run", "--format", "onnx"]):
            result = run_cli(*command, cwd=place, home=place / "home")
            assert result.code == 0, result.err

    place = made_once(tmp_path_factory, "served", make)
    return Made(place / "run", place / "run" / "exports" / "model.onnx")


@contextmanager
def serving(
    path: Path,
    place: Path,
    *,
    env: Mapping[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
    seconds: float = 0.0,
    broken: bool = False,
    closing: float = 0.25,
    options: Mapping[str, object] | None = None,
) -> Iterator[Server]:
    """A server on a free port; the command itself, unless limits or the network are other than usual.

    ``closing`` is how long a connection without a request stays open after the signal.
    """
    options = {"port": 0, **(options or {})}
    if limits or seconds or broken:
        arguments = ["-c", SERVE, json.dumps([str(path), options, limits or {}, seconds, broken, closing])]
    else:
        given = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        arguments = ["-m", "conviction", "serve", str(path), *given]
    log_file = place / f"log-{len(list(place.glob('log-*')))}.txt"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(place / "home", env),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log_file.read_text()
        yield Server(process, line, log_file)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            process.stdout.close()


Serve = Callable[..., Any]


@pytest.fixture
def serve(made: Made, tmp_path: Path) -> Serve:
    """``serving`` with the small model."""

    def start(**how: Any) -> Any:
        return serving(made.onnx, tmp_path, **how)

    return start


@pytest.fixture(scope="module")
def server(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with the usual limits, for all tests of a module."""
    with serving(made.onnx, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def encoded(pixels: np.ndarray, kind: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **how)
    return file.getvalue()


# The recipe "lab" enlarges the digits to it.
SIDE = 32


def noise(seed: int, shape: tuple[int, ...] = (SIDE, SIDE)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def upload(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{i}.png", content)) for i, content in enumerate(contents)]


def assert_problem(response: httpx.Response, status: int, *parts: str) -> dict[str, Any]:
    """RFC 9457, in full."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    said = response.json()
    assert {"type", "title", "status", "detail", "instance"} == set(said)
    assert said["status"] == status
    assert said["instance"].endswith("#" + response.headers["x-request-id"])
    for part in parts:
        assert part in said["detail"], said
    return said
