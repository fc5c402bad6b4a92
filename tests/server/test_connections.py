"""Clients that are slow, rude or too many, on raw sockets; and load beyond what can be answered."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections import Counter

import httpx
import pytest

from tests.patience import PATIENCE
from tests.server.conftest import Serve, Server, encoded, noise, upload

LIMITS = {"header_seconds": 0.5, "body_seconds": 0.5, "header_bytes": 10_000, "connections": 20}
PICTURE = encoded(noise(0))
FORM = {"content-type": "multipart/form-data; boundary=b"}


def body_of(picture: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\n' + picture + b"\r\n--b--\r\n"


def request(body: bytes, extra: str = "") -> bytes:
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM['content-type']}\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes; what it sent may be lost if it closes while more is on its way to it."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def assert_refused(received: bytes, status: int) -> None:
    head, _, body = received.rpartition(b"\r\n\r\n")
    last = head[head.rfind(b"HTTP/1.1") :].lower()
    assert last.startswith(b"http/1.1 %d " % status), received
    assert b"content-type: application/problem+json" in last
    assert b"connection: close" in last
    said = json.loads(body)
    assert said["status"] == status
    assert said["detail"]


@pytest.fixture
def strict(serve: Serve) -> object:
    with serve(limits=LIMITS) as server:
        yield server


def test_slow_and_broken_requests_are_ended(strict: Server) -> None:
    body = body_of(PICTURE)
    whole = request(body)
    with strict.connect() as silent, strict.connect() as half_a_head, strict.connect() as half_a_body:
        half_a_head.sendall(whole[:20])
        half_a_body.sendall(whole[:-10])
        assert_refused(rest(half_a_head), 408)
        assert_refused(rest(half_a_body), 408)
        assert_refused(rest(silent), 408)
    for junk in (
        b"junk\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\0" * 100,
    ):
        with strict.connect() as connection:
            connection.sendall(junk)
            assert_refused(rest(connection), 400)
    with strict.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(3):
            connection.sendall(b"X: " + b"x" * 8000)
            threading.Event().wait(0.05)  # so that they do not come as one piece
        assert_refused(rest(connection), 431)
    with strict.connect() as connection:
        connection.sendall(request(body, "Transfer-Encoding: chunked\r\n"))
        assert rest(connection).startswith(b"HTTP/1.1 400 ")
    with strict.client() as client:
        assert client.post("/v1/predict", files=upload(PICTURE)).status_code == 200


def test_a_body_that_trickles_is_ended(strict: Server) -> None:
    whole = request(body_of(PICTURE))
    received: list[bytes] = []
    with strict.connect() as connection:
        reader = threading.Thread(target=lambda: received.append(rest(connection)))
        reader.start()
        for i in range(len(whole) - 1):
            try:
                connection.sendall(whole[i : i + 1])
            except OSError:
                break
            reader.join(0.01)
            if not reader.is_alive():
                break
        else:
            pytest.fail("it was read to its end")
        reader.join()
    strict.stop()
    assert [line["status"] for line in strict.log] == [408]
    if received[0]:
        assert_refused(received[0], 408)


def test_a_body_that_is_refused_unread_may_not_trickle_for_ever(serve: Serve) -> None:
    key = {"CONVICTION_API_KEY": "a-key-of-the-tests"}
    with serve(limits=LIMITS, env=key) as server, server.connect() as connection:
        connection.sendall(request(bytes(1000))[:-900])
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        reader = threading.Thread(target=rest, args=(connection,))
        reader.start()
        for _ in range(800):
            try:
                connection.sendall(b"x")
            except OSError:
                break
            reader.join(0.01)
            if not reader.is_alive():
                break
        reader.join(PATIENCE)
        assert not reader.is_alive()


def test_one_connection_carries_many_requests_even_at_once(strict: Server) -> None:
    body = body_of(PICTURE)
    with strict.connect() as connection:
        last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request(body) * 5 + last)
        received = rest(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 6
    with strict.connect() as connection:
        # A large body whose end comes together with the beginning of the next head.
        large = request(body_of(encoded(noise(1, (150, 150, 3)))))
        assert len(large) > 2 * LIMITS["header_bytes"]
        connection.sendall(large + last[:30])
        connection.sendall(last[30:])
        assert rest(connection).count(b"HTTP/1.1 200 OK") == 2


def test_a_client_that_waits_for_permission_gets_it(strict: Server) -> None:
    body = body_of(PICTURE)
    head, _, _ = request(body, "Expect: 100-continue\r\nConnection: close\r\n").partition(b"\r\n\r\n")
    with strict.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(body)
        assert rest(connection).startswith(b"HTTP/1.1 200 OK")


def test_clients_that_go_away_do_no_harm(strict: Server) -> None:
    whole = request(body_of(PICTURE))
    for cut in (0, 10, len(whole) // 2, len(whole)):
        for _ in range(5):
            with strict.connect() as connection:
                connection.sendall(whole[:cut])
    with strict.client() as client:
        assert client.post("/v1/predict", files=upload(PICTURE)).status_code == 200
    assert strict.stop() == 0
    assert not [line for line in strict.log if line["status"] in (0, 500)]


def test_connections_are_bounded(strict: Server) -> None:
    with strict.client() as client:
        assert client.get("/healthz").status_code == 200
        idle = [strict.connect() for _ in range(int(LIMITS["connections"]))]
        assert_refused(rest(idle[-1]), 503)
        assert client.get("/healthz").status_code == 200, "who was there before is still served"
        for connection in idle:
            connection.close()


def crowd(server: Server, clients: int, each: int) -> tuple[Counter[int], list[httpx.Response]]:
    """Statuses of clients that all ask at once, and the refusals."""
    statuses: Counter[int] = Counter()
    refused = []

    def ask() -> None:
        with server.client() as client:
            for _ in range(each):
                response = client.post("/v1/predict", files=upload(PICTURE, PICTURE))
                statuses[response.status_code] += 1
                if response.status_code != 200:
                    refused.append(response)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses, refused


@pytest.mark.parametrize("limits", [{"concurrent": 4}, {"waiting_images": 8}, {"buffered_bytes": 8000}])
def test_overload_is_refused_quickly_and_passes(serve: Serve, limits: dict[str, int]) -> None:
    with serve(limits={**limits, "batch": 2}, seconds=0.05) as server:
        statuses, refused = crowd(server, clients=12, each=10)
        assert statuses.keys() == {200, 503}, statuses
        assert statuses[200] >= 3
        for response in refused:
            assert response.headers["retry-after"] == "1"
            assert response.json()["type"].endswith(":overloaded")
        with server.client() as client:
            assert client.post("/v1/predict", files=upload(PICTURE)).status_code == 200
            assert client.get("/readyz").status_code == 200
            found = re.search(r"conviction_queue_images ([0-9.]+)", client.get("/metrics").text)
            assert found
            assert float(found[1]) == 0


def test_requests_that_come_together_share_a_batch(serve: Serve) -> None:
    with serve(seconds=0.1) as server:
        statuses, _ = crowd(server, clients=8, each=4)
        assert statuses == {200: 32}
        with server.client() as client:
            text = client.get("/metrics").text
        batches = float(re.search(r"conviction_batch_images_count (\S+)", text)[1])  # type: ignore[index]
        images = float(re.search(r"conviction_batch_images_sum (\S+)", text)[1])  # type: ignore[index]
        assert images == 64
        assert batches <= 16, "32 requests, and most of them joined"
