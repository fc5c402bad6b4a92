"""The lab page under attack: sockets that name another's page, sessions, redirects, headers, uploads, long texts."""

from __future__ import annotations

import asyncio
import html
import json
import re
import socket
import subprocess
import sys
import uuid
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conviction.config.model import MOST_LAYERS
from conviction.errors import RequestError, SourceError
from conviction.web.door.bodies import bounded
from conviction.web.door.gate import COOKIE, Gate, one_token
from conviction.web.door.replies import local
from conviction.web.door.sessions import MOST_OF_ONE, MOST_SECONDS, BrowserSessions, digest
from conviction.web.work import network, uploads
from tests.conftest import environment
from tests.hostile.test_server import NOT_HTTP, statuses
from tests.patience import PATIENCE
from tests.server.test_connections import rest

COURSE = """
title: A class
chapters: [data, training]
sources: [digits]
teacher: teacher-token-1
learners: {Ann: ann-token-1, Bob: bob-token-1}
class_token: everybody
"""
TOKENS = {"Ann": "ann-token-1", "Bob": "bob-token-1", "Teacher": "teacher-token-1"}


class Lab:
    """A lab for a class, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], address: str, folder: Path) -> None:
        self.process, self.address, self.folder = process, address, folder
        self._clients: list[httpx.Client] = []

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has logged; every line is JSON."""
        return [json.loads(line) for line in (self.folder / "log.txt").read_text().splitlines()]

    def client(self) -> httpx.Client:
        client = httpx.Client(base_url=self.address, timeout=PATIENCE, trust_env=False, follow_redirects=True)
        self._clients.append(client)
        return client

    def join(self, name: str) -> Visitor:
        return Visitor(self, name)

    def close(self) -> None:
        for client in self._clients:
            client.close()


@contextmanager
def lab_process(folder: Path, *options: str) -> Iterator[Lab]:
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "conviction",
                "lab",
                "--port",
                "0",
                "--no-browser",
                "--out",
                "runs",
                *options,
            ],
            cwd=folder,
            env=environment(folder / "home"),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://[^/\s]+", line)
        assert address, (folder / "log.txt").read_text()
        running = Lab(process, address[0], folder)
        try:
            yield running
        finally:
            running.close()
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("class")
    (folder / "course.yaml").write_text(COURSE)
    with lab_process(folder, "--course", "course.yaml") as running:
        yield running


class Shown:
    """A page that was shown to somebody."""

    def __init__(self, text: str) -> None:
        query = re.search(r"query: (\{.*\}),", text)
        assert query, text[:2000]
        found = re.search(r"'client_id': '([^']+)'", query[1])
        elements = re.search(r"parseElements\(String\.raw`(.*?)`\)", text, re.DOTALL)
        assert found
        assert elements
        self.client_id = found[1]
        self.elements: dict[str, Any] = json.loads(html.unescape(elements[1]))

    def event(self, key: str, *arguments: Any, kind: str = "click") -> dict[str, Any]:
        """The message that the browser sends when this element is clicked or changed."""
        for name, element in self.elements.items():
            if element.get("props", {}).get("data-key") == key:
                listener = next(e["listener_id"] for e in element["events"] if e["type"] == kind)
                args = [json.dumps(one) for one in arguments]
                return {"id": int(name), "client_id": self.client_id, "listener_id": listener, "args": args}
        raise AssertionError(key)


class Visitor:
    """Somebody who has come in, with a browser's cookie."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.http = lab.client()
        joined = self.http.post("/join", data={"name": name, "token": TOKENS[name]})
        assert joined.status_code == 200
        self.desk = self.http.get("/lab").url.path.split("/")[2] if joined.url.path == "/" else ""
        self.session = self.http.cookies[COOKIE]

    def shown(self, path: str = "") -> Shown:
        page = self.http.get(path or f"/lab/{self.desk}/data")
        assert page.status_code == 200
        return Shown(page.text)

    @property
    def kept(self) -> dict[str, Any]:
        """The small choices on the desk, as the disk has them."""
        file = self.lab.folder / "runs" / ".lab" / "desks" / f"{self.desk}.json"
        return dict(json.loads(file.read_text())["kept"])

    def socket(self, client_id: str | None = None, *, handshake: bool = True) -> Socket:
        return Socket(self, client_id, handshake=handshake)


class Socket:
    """A socket as NiceGUI's script opens it; what is sent asks for the answer of its handler."""

    def __init__(self, visitor: Visitor, client_id: str | None, *, handshake: bool) -> None:
        query = {"EIO": "4", "transport": "websocket", **ids()}
        if client_id is not None:
            query |= {
                "client_id": client_id,
                "next_message_id": "0",
                "implicit_handshake": str(handshake).lower(),
            }
        address = visitor.lab.address.replace("http", "ws")
        self._open = ExitStack()
        self.web: ClientConnection = self._open.enter_context(
            connect(
                f"{address}/_nicegui_ws/socket.io/?{urlencode(query)}",
                additional_headers={"Cookie": f"{COOKIE}={visitor.session}"},
                origin=visitor.lab.address,  # type: ignore[arg-type]
                open_timeout=PATIENCE,
                proxy=None,
            )
        )
        assert str(self.web.recv(PATIENCE)).startswith("0{")
        self.web.send("40")
        self.accepted = self._next(("40", "44")).startswith("40")
        self._number = 0

    def _next(self, kinds: tuple[str, ...]) -> str:
        while True:
            message = str(self.web.recv(PATIENCE))
            if message == "2":
                self.web.send("3")
            elif message.startswith(kinds):
                return message

    def ask(self, name: str, message: Any) -> Any:
        """What the handler returns; None if nothing."""
        self._number += 1
        self.web.send(f"42{self._number}{json.dumps([name, message])}")
        answer = self._next((f"43{self._number}[",))
        values = json.loads(answer[answer.index("[") :])
        return values[0] if values else None

    def is_closed(self) -> bool:
        """Waits until the server has ended it."""
        try:
            while not str(self.web.recv(PATIENCE)).startswith("41"):
                pass
        except ConnectionClosed:
            pass
        return True

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def ids() -> dict[str, str]:
    return {"tab_id": str(uuid.uuid4()), "document_id": str(uuid.uuid4())}


@pytest.fixture(scope="module")
def ann(lab: Lab) -> Visitor:
    return lab.join("Ann")


@pytest.fixture(scope="module")
def bob(lab: Lab) -> Visitor:
    return lab.join("Bob")


def other(depth: object) -> str:
    return "quick" if depth == "deep" else "deep"


def messages(page: Shown) -> dict[str, tuple[str, dict[str, Any]]]:
    """One of every kind that a page sends, for this page."""
    mine = {"client_id": page.client_id}
    return {
        "an event": ("event", page.event("tab deep")),
        "an event of an element that is not there": ("event", {**page.event("tab deep"), "id": 10**9}),
        "the answer of a script": (
            "javascript_response",
            {**mine, "request_id": str(uuid.uuid4()), "result": 1},
        ),
        "an acknowledgement": ("ack", {**mine, "next_message_id": 10**6}),
        "a line for the log": ("log", {**mine, "level": "error", "message": "forged-by-bob"}),
        "a handshake": ("handshake", {**mine, **ids(), "next_message_id": 0}),
    }


KINDS = [
    "an event",
    "an event of an element that is not there",
    "the answer of a script",
    "an acknowledgement",
    "a line for the log",
    "a handshake",
]


def test_a_learners_own_socket_acts_on_the_learners_own_page(ann: Visitor) -> None:
    for _ in range(2):
        page, wanted = ann.shown(), other(ann.kept.get("depth"))
        with ann.socket(page.client_id) as own:
            assert own.accepted
            assert own.ask("event", page.event(f"tab {wanted}")) is not False
            while wanted not in ann.kept.values():
                own.ask("ack", {"client_id": page.client_id, "next_message_id": 0})


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_cannot_act_on_the_page_of_another(lab: Lab, ann: Visitor, bob: Visitor, kind: str) -> None:
    page, before = ann.shown(), ann.kept
    name, message = messages(page)[kind]
    own = bob.shown()
    with ann.socket(page.client_id) as hers, bob.socket(own.client_id) as his:
        assert hers.accepted
        assert his.accepted
        assert his.ask(name, message) is False
        # The same is taken from her, and what he may do is still taken from him.
        if kind != "a handshake":
            assert his.ask("ack", {"client_id": own.client_id, "next_message_id": 0}) is not False
            assert hers.ask("ack", {"client_id": page.client_id, "next_message_id": 0}) is not False
    assert ann.kept == before
    assert "forged-by-bob" not in json.dumps(lab.log)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_socket_acts_on_no_page_before_they_have_shaken_hands(ann: Visitor, kind: str) -> None:
    page, before = ann.shown(), ann.kept
    name, message = messages(page)[kind]
    with ann.socket(page.client_id, handshake=False) as early, ann.socket() as without:
        for one in (early, without):
            assert one.accepted
            assert one.ask(name, message) is False
    assert ann.kept == before


@pytest.mark.parametrize("handshake", [True, False])
def test_a_socket_cannot_connect_as_the_page_of_another(ann: Visitor, bob: Visitor, handshake: bool) -> None:
    page = ann.shown()
    with bob.socket(page.client_id, handshake=handshake) as forged:
        assert not forged.accepted
    with ann.socket(page.client_id) as own:
        assert own.accepted


def test_another_browser_of_the_same_learner_is_another_session(lab: Lab, ann: Visitor) -> None:
    page, again = ann.shown(), lab.join("Ann")
    assert again.session != ann.session
    with again.socket(page.client_id) as forged:
        assert not forged.accepted


STRANGE = [
    None,
    1,
    True,
    [],
    {},
    "",
    "x",
    "0" * 36,
    str(uuid.UUID(int=0)),
    "x" * 100_000,
    "../../x",
    "__proto__",
    ["x"],
]


@pytest.mark.parametrize("client_id", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize(
    "name",
    [
        "event",
        *(
            pytest.param(kind, marks=pytest.mark.full)
            for kind in ("javascript_response", "ack", "log", "handshake")
        ),
    ],
)
def test_an_id_that_is_none_is_refused(bob: Visitor, name: str, client_id: object) -> None:
    own = bob.shown()
    with bob.socket(own.client_id) as socket_:
        assert socket_.ask(name, {"client_id": client_id}) is False
        assert socket_.ask(name, client_id) is False
        assert socket_.ask("ack", {"client_id": own.client_id, "next_message_id": 0}) is not False


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("event", {}),
    ("event", {"id": "x", "args": []}),
    ("event", {"id": 0, "args": "x"}),
    ("event", {"id": 12, "args": ["{"], "listener_id": "x"}),
    ("event", {"id": [], "args": []}),
    ("event", {"id": 12, "args": [1], "listener_id": []}),
    ("event", {"id": 12, "listener_id": "x", "args": ['"' + "x" * 900_000 + '"']}),
    ("javascript_response", {}),
    ("javascript_response", {"request_id": []}),
    ("ack", {}),
    ("ack", {"next_message_id": "x"}),
    ("log", {}),
    ("log", {"level": "shout", "message": "x"}),
    ("handshake", {}),
    ("nothing", {}),
]


@pytest.mark.parametrize(("name", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_message_that_no_page_sends_does_no_harm(bob: Visitor, name: str, message: dict[str, Any]) -> None:
    own = bob.shown()
    with bob.socket(own.client_id) as socket_:
        socket_.web.send("42" + json.dumps([name, {"client_id": own.client_id, **message}]))
        assert socket_.ask("ack", {"client_id": own.client_id, "next_message_id": 0}) is not False


def test_files_go_to_pages_of_the_same_session_alone(ann: Visitor, bob: Visitor) -> None:
    page = ann.shown()
    for client_id in (page.client_id, str(uuid.uuid4()), "", "../x"):
        answer = bob.http.post(f"/_nicegui/client/{client_id}/upload/5", files={"file": b"x"})
        assert answer.status_code == 404


def test_a_socket_needs_a_session(lab: Lab, ann: Visitor) -> None:
    page = ann.shown()
    stranger = lab.join("Bob")
    stranger.session = "none"
    with pytest.raises(InvalidStatus):
        stranger.socket(page.client_id)


def test_the_teacher_ends_all_sessions_of_learners(lab: Lab) -> None:
    learner, teacher = lab.join("Bob"), lab.join("Teacher")
    assert teacher.session
    panel = teacher.shown("/class")
    page = learner.shown()
    with learner.socket(page.client_id) as open_, teacher.socket(panel.client_id) as hand:
        assert open_.accepted
        assert hand.ask("event", panel.event("class-reset")) is not False
        assert open_.is_closed()
    assert learner.http.get("/").url.path == "/join"
    assert teacher.http.get("/class").status_code == 200
    with pytest.raises(InvalidStatus):
        learner.socket(page.client_id)


# Everybody comes in again after that.
@pytest.fixture(scope="module")
def cat(lab: Lab) -> Visitor:
    return lab.join("Ann")


def test_what_is_in_the_cookie_is_random_and_not_the_token(lab: Lab) -> None:
    first, second = lab.join("Ann"), lab.join("Ann")
    assert first.session != second.session
    assert len(first.session) >= 43
    kept = (lab.folder / "runs" / ".lab" / "sessions.json").read_text()
    for secret in (*TOKENS.values(), first.session, second.session):
        assert secret not in kept
    for token in TOKENS.values():
        assert token not in first.session
        outside = httpx.get(
            f"{lab.address}/", headers={"cookie": f"{COOKIE}={token}"}, trust_env=False, timeout=PATIENCE
        )
        assert outside.status_code == 303
        assert outside.headers["location"] == "/join"
    joined = httpx.post(
        f"{lab.address}/join",
        data={"name": "Ann", "token": TOKENS["Ann"]},
        # A session that somebody else has prepared is not the one that begins.
        headers={"cookie": f"{COOKIE}={second.session}"},
        trust_env=False,
        timeout=PATIENCE,
    )
    cookie = joined.headers["set-cookie"]
    assert second.session not in cookie
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={MOST_SECONDS}"):
        assert part in cookie
    assert "domain" not in cookie.lower()


def test_sessions_end(tmp_path: Path) -> None:
    now, file = [1000.0], tmp_path / "sessions.json"
    sessions = BrowserSessions(file, lambda: now[0])
    one, two = (digest(sessions.begin("ann", digest("a"))) for _ in range(2))
    three = digest(sessions.begin("bob", digest("b")))
    again = BrowserSessions(file, lambda: now[0])
    for key in (one, two, three):
        assert again.get(key) == sessions.get(key)
    assert again.get(digest("x")) is None
    assert again.end(lambda owner: owner == "ann") == 2
    assert again.get(one) is None
    assert again.get(three) is not None
    assert BrowserSessions(file).get(two) is None
    now[0] += MOST_SECONDS + 1
    assert again.get(three) is None
    kept = [digest(sessions.begin("ann", digest("a"))) for _ in range(MOST_OF_ONE + 1)]
    assert sessions.get(kept[0]) is None
    assert sessions.get(kept[1]) is not None
    for broken in ("{", "[]", '{"x": 1}', "[" * 100_000):
        file.write_text(broken)
        assert BrowserSessions(file).get(one) is None


def test_a_session_ends_with_its_token(tmp_path: Path) -> None:
    sessions = BrowserSessions(tmp_path / "sessions.json")
    key = digest(sessions.begin("", digest("old")))
    scope = {"conviction.owner": "", "conviction.session": key}
    for token, current in (("old", True), ("new", False)):
        gate = Gate(
            _nothing, who=one_token(token), hosts=None, sessions=BrowserSessions(tmp_path / "sessions.json")
        )
        assert gate.is_current(scope) == current
    assert not gate.is_current({})


@pytest.mark.full
def test_where_the_list_of_learners_is_damaged_nobody_is_let_in_and_the_teacher_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "course.yaml").write_text(COURSE)
    damaged = tmp_path / "runs" / "learners" / "learners.json"
    with lab_process(tmp_path, "--course", "course.yaml") as lab:
        inside, teacher = lab.join("Ann"), lab.join("Teacher")
        with inside.socket(inside.shown().client_id) as open_:
            assert open_.accepted
            damaged.write_text("{")
            answers = [
                inside.http.get("/"),
                lab.client().post("/join", data={"name": "Eve", "token": "everybody"}),
                lab.client().get("/?token=ann-token-1"),
            ]
            for answer in answers:
                assert answer.status_code == 503
                assert "Tell your teacher." in answer.text
                assert str(tmp_path) not in answer.text
                assert "learners.json" not in answer.text
            panel = teacher.http.get("/class")
            assert panel.status_code == 503
            assert "learners.json: the list of learners cannot be read" in panel.text
            assert "Move the file away" in panel.text
            damaged.unlink()
        assert inside.http.get("/").status_code == 200
        assert teacher.http.get("/class").status_code == 200
        assert not [line for line in lab.log if "exception" in line or "Traceback" in str(line)]


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


PAGES = [
    "/",
    "/lab",
    "/join",
    "/class",
    "/nothing",
    "/lab/none/data",
    "/lab-report.css",
    "/lab-static/lab.js",
    "/lab-static/live/opening.js",
    "/lab-static/nothing",
    "/favicon.ico",
    "/lab/none/file/x/report.html",
    "/_nicegui_ws/socket.io/",
    "/?token=wrong",
]
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("path", PAGES)
def test_every_answer_has_the_headers(lab: Lab, cat: Visitor, path: str, inside: bool) -> None:
    client = cat.http if inside else lab.client()
    answer = client.get(path, follow_redirects=False)
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "http" not in policy
    assert "*" not in policy


def test_a_report_is_shown_in_a_sandbox_and_other_files_are_taken_away(lab: Lab, cat: Visitor) -> None:
    run = lab.folder / "runs" / "learners" / "ann" / "run-1"
    run.mkdir(parents=True, exist_ok=True)
    (run / "report.html").write_text("<script>alert(1)</script>")
    (run / "history.csv").write_text("<script>alert(1)</script>")
    report = cat.http.get(f"/lab/{cat.desk}/file/run-1/report.html")
    assert report.status_code == 200
    policy = report.headers.get_list("content-security-policy")
    assert len(policy) == 1
    assert policy[0].startswith("sandbox ")
    assert "allow-same-origin" not in policy[0]
    assert "connect-src" not in policy[0]
    taken = cat.http.get(f"/lab/{cat.desk}/file/run-1/history.csv")
    assert taken.status_code == 200
    assert taken.headers["content-disposition"].startswith("attachment")


ELSEWHERE = [
    "//evil.example",
    "///evil.example/x",
    "/\\evil.example",
    "\\\\evil.example",
    "/%5Cevil.example",
    "/%5c%5cevil.example",
    "/%2F/evil.example",
    "/%2f%2fevil.example",
    "/%09/evil.example",
    "/%0d/evil.example",
    "/%0d%0aLocation:%20http://evil.example",
    "/..//evil.example",
    "/.//evil.example",
    "/@evil.example",
    "/%00//evil.example",
    "//evil.example/%2e%2e",
    "http://evil.example/",
    "//evil.example/lab-static",
    "/lab-static//evil.example",
    "/\u2215evil.example",
]


@pytest.mark.parametrize("query", ["", "?token=ann-token-1", "?token=ann-token-1&x=//evil.example"])
@pytest.mark.parametrize("target", ELSEWHERE, ids=range(len(ELSEWHERE)))
def test_no_redirect_leaves_the_host(lab: Lab, target: str, query: str) -> None:
    head = f"GET {target}{query} HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", lab.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
        received = rest(connection)
    (code,) = statuses(received)
    locations = re.findall(rb"(?im)^location: *(.*?)\r$", received.partition(b"\r\n\r\n")[0] + b"\r")
    assert code < 500
    assert len(locations) == (300 <= code < 400)
    for location in locations:
        stays(location.decode("ascii"), f"127.0.0.1:{lab.port}")


def stays(location: str, host: str) -> None:
    """As browsers read it: they take a backslash for a slash and drop tabs and ends of lines."""
    read = re.sub(r"[\t\r\n]", "", location).strip().replace("\\", "/")
    assert urlsplit(read).netloc in ("", host), location


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "\\/evil", "/\t/evil", "", "\x00", "\udcff", "/é"]
)
def test_an_address_on_this_host_is_one(path: str) -> None:
    assert re.fullmatch(r"/([A-Za-z0-9/:@!$&'()*+,;=~._%-]*)", local(path))
    stays(local(path), "here")


NOT_FOR_A_PAGE = [
    name for name, content in NOT_HTTP.items() if content.startswith((b"GET", b"POST", b"\x16", b"\0"))
]


@pytest.mark.parametrize("name", NOT_FOR_A_PAGE)
def test_the_page_too_refuses_what_is_no_plain_request(lab: Lab, name: str) -> None:
    with socket.create_connection(("127.0.0.1", lab.port), timeout=PATIENCE) as connection:
        with suppress(ConnectionError):
            connection.sendall(NOT_HTTP[name])
        received = rest(connection)
    codes = statuses(received)
    # A body is not read where nobody may send one; then the first answer is the way to the door.
    unread = b"Transfer-Encoding: chunked" in NOT_HTTP[name] and codes[0] == 303
    assert codes[0] in (400, 431) or unread, received
    assert b"connection: close" in received.lower() or unread


TYPED = ["x\ny", '"}\n{"level": "error"', "\x1b[31m", "\u2028", "x" * 100_000, "\0", "%s %d"]


@pytest.mark.parametrize("text", TYPED, ids=range(len(TYPED)))
def test_what_learners_send_is_one_value_in_the_log(lab: Lab, cat: Visitor, text: str) -> None:
    page, before = cat.shown(), len(lab.log)
    with cat.socket(page.client_id) as own:
        own.ask("log", {"client_id": page.client_id, "level": "error", "message": f"typed {text}"})
    added = lab.log[before:]
    lines = [line for line in added if line.get("logger") == "nicegui"]
    assert len(lines) == 1
    assert f"typed {text}".endswith(lines[0]["message"])


async def _slow(first: bytes) -> AsyncIterator[bytes]:
    yield first
    await asyncio.Event().wait()


async def _trickling() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.001)
        yield b"x"


def test_an_upload_that_stops_or_trickles_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PAUSE_SECONDS", 0.05)
    with pytest.raises(SourceError, match="nothing has arrived"):
        asyncio.run(uploads.receive(_slow(b"x"), "a.zip", tmp_path, "ann"))
    # However little waiting each byte needs, so many bytes a second do not come.
    monkeypatch.setattr(uploads, "SLOWEST_BYTES", 10**9)
    monkeypatch.setattr(uploads, "PAUSE_SECONDS", PATIENCE)
    monkeypatch.setattr(uploads, "WHOLE_SECONDS", 0.2)
    with pytest.raises(SourceError, match="too slowly"):
        asyncio.run(uploads.receive(_trickling(), "a.zip", tmp_path, "ann"))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_learner_sends_few_archives_at_once(tmp_path: Path) -> None:
    async def send() -> None:
        waiting = [
            asyncio.create_task(uploads.receive(_slow(b"x"), "a.zip", tmp_path, "ann"))
            for _ in range(uploads.MOST_AT_ONCE)
        ]
        await asyncio.sleep(0)
        with pytest.raises(SourceError, match="still arriving"):
            await uploads.receive(_slow(b"x"), "a.zip", tmp_path, "ann")
        other = asyncio.create_task(uploads.receive(_slow(b"x"), "a.zip", tmp_path, "bob"))
        await asyncio.sleep(0)
        assert not other.done()
        for one in (*waiting, other):
            one.cancel()
        await asyncio.gather(*waiting, other, return_exceptions=True)
        assert not any(uploads._arriving.values())

    asyncio.run(send())


def test_a_body_without_end_or_bound_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from conviction.web.door import bodies

    async def large() -> Any:
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def silent() -> Any:
        await asyncio.Event().wait()

    async def end(receive: Any) -> int:
        receiving, count = bounded(receive), 0
        while (await receiving())["type"] == "http.request":
            count += 1
        return count

    monkeypatch.setattr(bodies, "MOST_BYTES", 10_000)
    assert asyncio.run(end(large)) == 10
    monkeypatch.setattr(bodies, "PAUSE_SECONDS", 0.01)
    assert asyncio.run(end(silent)) == 0


def archive_of(count: int, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"a/{i}.png", b"x")
    return path


def test_an_archive_of_many_files_is_refused_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 10)
    uploads.check_declared(archive_of(10, tmp_path / "a.zip"))
    with pytest.raises(SourceError, match="holds 11 files; an upload may hold at most 10"):
        uploads.check_declared(archive_of(11, tmp_path / "b.zip"))


@pytest.mark.full
def test_others_are_answered_while_a_large_archive_is_looked_at(tmp_path: Path) -> None:
    archive = archive_of(100_000, tmp_path / "many.zip").read_bytes()
    with lab_process(tmp_path) as running:
        client = running.client()
        desk = client.get("/lab").url.path.split("/")[2]

        async def both() -> tuple[httpx.Response, list[float]]:
            async with httpx.AsyncClient(
                base_url=running.address, timeout=PATIENCE, trust_env=False
            ) as asking:
                sent = asyncio.create_task(asking.put(f"/lab/{desk}/upload?name=many.zip", content=archive))
                waits = []
                while not sent.done():
                    began = asyncio.get_running_loop().time()
                    assert (await asking.get("/lab-report.css")).status_code == 200
                    waits.append(asyncio.get_running_loop().time() - began)
                return await sent, waits

        answer, waits = asyncio.run(both())
        assert answer.status_code == 422
        assert "100,000 files" in answer.json()["message"]
        assert max(waits) < 10.0


LONG = {
    "900 kB": "- {type: Flatten}\n" * 50_000,
    "a million layers": "[" + "{}," * 1_000_000 + "{}]",
    "one layer too many": "- {type: Flatten}\n" * (MOST_LAYERS + 1),
    "numbers": "- 1\n" * 7000,
    "aliases": "a: &a [x]\n" + "".join(f"b{i}: &b{i} [{'*a, ' * 50}]\n" for i in range(90)),
    "aliases as layers": "layers:\n- &a {type: Flatten}\n" + "- *a\n" * 5000,
    "a long text": "x" * 900_000,
    "a long number": "- {type: Dense, units: " + "9" * 20_000 + "}",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_long_specifications_are_refused_before_they_are_checked(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        network.from_yaml(text)
    assert len(str(refused.value)) < 2000


def test_as_many_layers_as_a_network_may_have_are_read() -> None:
    line = "- {type: Conv2D, filters: 32, kernel_size: [3, 3], padding: same, activation: relu, use_bias: false}\n"
    assert len(line) * MOST_LAYERS < network.MOST_TEXT
    assert len(network.from_yaml(line * MOST_LAYERS)) == MOST_LAYERS


def test_a_long_specification_is_refused_on_the_page_and_others_are_answered(cat: Visitor) -> None:
    page = cat.shown(f"/lab/{cat.desk}/network/yaml")
    surfaces = [
        int(name) for name, one in page.elements.items() if one.get("component", "").endswith("surface")
    ]
    before = (cat.lab.folder / "runs" / ".lab" / "desks" / f"{cat.desk}.json").read_text()
    with cat.socket(page.client_id) as own:
        for name in surfaces:
            listener = page.elements[str(name)]["events"][0]["listener_id"]
            act = {"key": "yaml", "value": "- {type: Flatten}\n" * 20_000, "drawing": 10**6}
            message = {
                "id": name,
                "client_id": page.client_id,
                "listener_id": listener,
                "args": [json.dumps(act)],
            }
            assert own.ask("event", message) is not False
        assert cat.http.get("/lab-report.css").status_code == 200
    assert (cat.lab.folder / "runs" / ".lab" / "desks" / f"{cat.desk}.json").read_text() == before


def test_nothing_of_all_this_was_a_fault(lab: Lab) -> None:
    lab.join("Ann")
    faults = [line for line in lab.log if "Traceback" in json.dumps(line)]
    assert not faults
    assert lab.process.poll() is None
