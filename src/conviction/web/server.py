"""The process of the page: what is checked before anything listens, the token, and the end."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from pathlib import Path

from nicegui import core

from conviction.audience import speak_to
from conviction.data.named import data_folders
from conviction.errors import RequestError
from conviction.runs import folder
from conviction.server.log import log_everything
from conviction.server.process import KEY, SWITCH_SECONDS, listen
from conviction.web.app import make_app
from conviction.web.classroom import Learners, load_course
from conviction.web.door.gate import Gate, one_token
from conviction.web.door.joining import JOIN, who_of
from conviction.web.door.sessions import BrowserSessions
from conviction.web.door.sockets import Sockets
from conviction.web.door.start_key import StartKey
from conviction.web.jobs.helper import Helper
from conviction.web.jobs.queue import Bounds, open_jobs
from conviction.web.work.desk import Desks
from conviction.web.work.lab import LEARNERS, OWN, Lab
from conviction.web.work.sources import Bench

# Of one message of a socket; the largest that the page sends are a drawing and the text of a network.
MOST_MESSAGE = 2**20


def serve_lab(
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    out: str | Path = "runs",
    jobs: int = 1,
    data_dir: str | Path | None = None,
    course: str | Path | None = None,
    browser: bool = True,
) -> None:
    """Shows the page until SIGTERM or SIGINT, and returns; what it has started continues.

    Prints one line with the address when it is ready. On an address that others reach, the line has a token in it; it
    is read from ``CONVICTION_API_KEY``, or a new one is generated. On one that only this machine reaches, the link ends
    in a key that lets a browser run exercises. In a class it has neither.

    Args:
        host: A name or address of this machine.
        port: 0 for any that is free.
        out: The folder of the runs, which is made if it is not there.
        jobs: How many trainings, explorations and exports run at once.
        data_dir: Where to look for named sets first.
        course: A course file, for a class: everybody joins with a token, and has runs of their own.
        browser: Whether to open the page in a browser.

    Raises:
        SourceNotFoundError: There is no folder ``data_dir``.
        RequestError: The address cannot be listened on, the course file is wrong, or ``jobs`` is below 1.
        RunError: Another lab has this folder.
        OutputError, StorageError: The folder cannot be made.
    """
    if jobs < 1:
        raise RequestError(f"--jobs: expected at least 1; got {jobs}.")
    data_folders(data_dir)  # refused now if there is no such folder
    root = Path(out).resolve()
    learners = None if course is None else Learners(load_course(course), root / LEARNERS)
    own = root / OWN
    for path in (own / "desks", own / "jobs"):
        with folder.storing(path):
            path.mkdir(parents=True, exist_ok=True)
    key = os.environ.get(KEY) or None
    endpoint = listen(host, port, key or "drawn below")
    # On an address that only this machine reaches, whoever connects is already on it.
    token = None if learners else key or (None if endpoint.hosts is not None else secrets.token_urlsafe(16))
    who, door = (one_token(token), "") if learners is None else (who_of(learners), JOIN)
    # By its number: under the name "localhost", another user's server may answer at another address of this machine.
    ip, number = endpoint.listener.getsockname()[:2]
    numeric = f"http://[{ip}]:{number}" if ":" in ip else f"http://{ip}:{number}"
    address = f"{endpoint.address if endpoint.hosts is None else numeric}/" + (
        f"?token={token}" if token else ""
    )
    # In a class, and where others reach the page, what they write would run on this machine.
    start_key = StartKey() if endpoint.hosts is not None and learners is None else None
    speak_to("page")  # errors before this point were shown at a terminal
    with open_jobs(own / "jobs", jobs) as queue:
        data_path = None if data_dir is None else Path(data_dir)
        lab = Lab(
            out=root,
            jobs=queue,
            desks=Desks(own / "desks"),
            bench=Bench(data_dir=data_path),
            helper=Helper(),
            data_dir=None if data_path is None else str(data_path),
            course=None if learners is None else learners.course,
            start_key=start_key,
        )
        if data_path is not None:
            queue.options = ("--data-dir", str(data_path.resolve()))
        if learners is not None:
            limits = learners.course.limits
            queue.bounds = Bounds(limits.waiting, limits.minutes * 60)
        sessions = BrowserSessions(own / "sessions.json")
        app = make_app(lab, sessions, learners)
        gate = Gate(app, who=who, hosts=endpoint.hosts, door=door, sessions=sessions)
        app.state.sockets = Sockets(core.sio, gate.is_current)
        # Browsers do not send what follows "#". Other users can read a browser's command line, so it gets no key.
        link = address if start_key is None else f"{address}#key={start_key.text}"
        _run(gate, endpoint.listener, link, address if browser else None)


def _run(gate: Gate, listener: socket.socket, link: str, opened: str | None) -> None:
    import uvicorn

    from conviction.server.framing import StrictProtocol

    class Server(uvicorn.Server):
        """Says when it is ready."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                print(
                    f"conviction lab is at {link} (Ctrl-C ends it; what it has started continues)",
                    flush=True,
                )
                if opened is not None:
                    threading.Thread(target=webbrowser.open, args=(opened,), daemon=True).start()

    config = uvicorn.Config(
        gate,
        http=StrictProtocol,
        ws_max_size=MOST_MESSAGE,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    # By default a thread that works for one learner keeps the event loop of all others waiting for 5 ms each time.
    sys.setswitchinterval(SWITCH_SECONDS)
    # What a learner sends may be in a message; as JSON it stays one value in one line.
    log_everything()
    # uvicorn raises the signal again when it has ended; by then it has taken effect, and the exit code is 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Server(config).run(sockets=[listener])
