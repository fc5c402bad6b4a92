"""The processes of the server: what is checked before they start, workers, signals, and the end."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.formats import onnx_file
from conviction.artefacts.opening import load
from conviction.errors import ArtefactError, RequestError, SourceNotFoundError
from conviction.server.limits import Limits
from conviction.server.log import log_everything
from conviction.server.workers import supervise

KEY = "CONVICTION_API_KEY"
_BACKLOG = 2048
SWITCH_SECONDS = 0.0002
_ALWAYS_ALLOWED = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Endpoint:
    """Where the server listens.

    Attributes:
        listener: Bound and listening.
        address: For people, as ``http://127.0.0.1:8000``.
        hosts: What the Host header may name; None for anything.
    """

    listener: socket.socket
    address: str
    hosts: frozenset[str] | None


def serve(
    path: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    limits: Limits | None = None,
) -> None:
    """Answers requests until SIGTERM or SIGINT, then answers what it has accepted, and returns.

    Prints one line when it is ready. From then on, whatever this process logs goes to standard error as lines of JSON,
    also after the end. The key that requests must carry is read from ``CONVICTION_API_KEY``.

    Args:
        path: An ``.onnx`` file of ``conviction export``, or a run folder that has exported one.
        host: A name or address of this machine.
        port: 0 for any free port.
        workers: Processes.
        limits: What is accepted; one worker's.

    Raises:
        SourceNotFoundError: There is nothing at ``path``.
        ArtefactError: It is not an ONNX file of ours, or it is damaged.
        RequestError: The server cannot listen at the address, others can reach it and there is no key, or a package
            that is an extra is missing.
    """
    limits = limits or Limits()
    if workers < 1:
        raise RequestError(f"--workers: expected at least 1; got {workers}.")
    if workers > 1 and not hasattr(os, "fork"):
        raise RequestError("--workers: this system supports only one; run several servers instead.")
    key = os.environ.get(KEY) or None
    file = artefact_file(Path(path))
    artefact = load(file, threads=1)
    assert isinstance(artefact, Artefact)
    endpoint = listen(host, port, key)
    line = f"conviction serves {artefact.card.name} at {endpoint.address} (Ctrl-C ends it)"
    if workers == 1:
        _import_app()
        _work(artefact, endpoint, limits, key, lambda: print(line, flush=True))
        return

    def work(ready: Callable[[], None]) -> None:
        # Opened again, because a session of the runtime cannot be used on both sides of a fork; tried it has been.
        opened = onnx_file.read(file, threads=1)
        _work(opened, endpoint, limits, key, ready)

    with tempfile.TemporaryDirectory(prefix="conviction-metrics-") as shared:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        _import_app()  # before the fork, so that workers share it
        supervise(work, workers, endpoint.listener, lambda: print(line, flush=True))


def artefact_file(path: Path) -> Path:
    """The ONNX file that a path stands for.

    Raises:
        SourceNotFoundError: There is nothing at ``path``.
        RequestError: A run folder that has exported none.
        ArtefactError: Another kind of artefact.
    """
    if not path.exists():
        raise SourceNotFoundError(f"{path}: there is no such run folder or exported model.")
    if path.is_dir():
        from conviction.runs import folder

        exported = path / "exports" / "model.onnx"
        if exported.is_file():
            return exported
        if (path / folder.CONFIG).is_file():
            raise RequestError(
                f"{path}: has no exported model. Make one with: {folder.command('export', path)} --format onnx"
            )
    if path.suffix.lower() != ".onnx":
        raise ArtefactError(
            f"{path}: expected an .onnx file that 'conviction export' wrote, or a run folder."
        )
    return path


def listen(host: str, port: int, key: str | None) -> Endpoint:
    """Opens the port.

    Raises:
        RequestError: It is taken or not ours, or open to others without a key.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = sorted(addresses, key=lambda one: one[0] != socket.AF_INET)[0]
    except (OSError, UnicodeError, OverflowError):
        raise RequestError(f"--host {host} --port {port}: there is no such address.") from None
    loopback = ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    if not loopback and key is None:
        raise RequestError(
            f"--host {host}: others can reach this address. Set {KEY} to a secret that their requests must carry."
        )
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as failure:
        listener.close()
        reason = os.strerror(failure.errno) if failure.errno else str(failure)
        raise RequestError(
            f"{host}:{port}: the server cannot listen there ({reason}). Choose another with --port, or 0 for any."
        ) from None
    listener.setblocking(False)
    name = f"[{host}]" if ":" in host else host
    hosts = frozenset({*_ALWAYS_ALLOWED, name.lower()}) if loopback else None
    return Endpoint(listener, f"http://{name}:{listener.getsockname()[1]}", hosts)


def _import_app() -> None:
    import conviction.server.app
    import conviction.server.draining  # noqa: F401


def _work(
    artefact: Artefact, endpoint: Endpoint, limits: Limits, key: str | None, ready: Callable[[], None]
) -> None:
    """One worker, until it gets a signal to stop and has answered every request that it accepted."""
    import uvicorn

    from conviction.server.app import make_app
    from conviction.server.connection import Connection
    from conviction.server.draining import Draining

    Connection.limits = limits
    app = make_app(
        artefact, limits=limits, is_draining=lambda: server.should_exit, key=key, hosts=endpoint.hosts
    )
    Connection.gate = app
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(limits.body_seconds + limits.request_seconds) + 1,
    )
    _silence()
    log_everything()
    # By default a thread that decodes waits 5 ms each time it wants the interpreter from a busy event loop; under a
    # flood of requests that must be refused, next to nothing would be answered.
    sys.setswitchinterval(SWITCH_SECONDS)
    server = Draining(config, endpoint.listener)

    async def run() -> None:
        serving = asyncio.create_task(server.serve([endpoint.listener.dup()]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.002)
        # What is in memory now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.enable()
        ready()
        await serving

    def stop(*_: object) -> None:
        server.should_exit = True

    # For a signal that comes before uvicorn handles signals itself. It raises them again when all is answered; by then
    # they have taken effect, and the exit code is 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())


def _silence() -> None:
    """Our own log already has what uvicorn says about connections; nobody needs what it says about itself."""
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
