"""The server of a model under attack: requests that are no HTTP, bodies that cost too much, slow pictures."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from conviction.server.log import MOST_BYTES, line_of
from conviction.server.problem import Problem
from conviction.server.reading import pictures_of
from tests.conftest import environment
from tests.patience import PATIENCE
from tests.server.conftest import Made, Serve, Server, encoded, made, noise, serve, serving, upload
from tests.server.test_connections import body_of, request, rest
from tests.server.test_process import processes_of

__all__ = ["made", "serve"]

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
PICTURE = encoded(noise(0))
MIB = 2**20
# Far more than any answer takes here, and less than what one attack took before it was bounded.
SOON = 10.0


@pytest.fixture(scope="module")
def server(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(made.onnx, tmp_path_factory.mktemp("attacked")) as running:
        yield running


def exchanged(server: Server, content: bytes) -> bytes:
    """What the server answers before it closes; it must not need more than these bytes."""
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(content)
        return rest(connection)


def statuses(received: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def is_alive(server: Server) -> None:
    with server.client() as client:
        assert client.get("/healthz").status_code == 200


def post(*lines: str, body: bytes = b"", version: str = "1.1", host: bool = True) -> bytes:
    head = [f"POST /v1/predict HTTP/{version}", *(["Host: localhost"] if host else []), *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def get(*lines: str, target: str = "/healthz", version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


def chunked(body: bytes) -> bytes:
    return post("Content-Type: application/json", "Transfer-Encoding: chunked", body=body)


LENGTH, CHUNKED = "Content-Length: 5", "Transfer-Encoding: chunked"
SMUGGLED = b"0\r\n\r\nGET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n"
HOST = "Host: localhost"

NOT_HTTP = {
    "length and chunks": post(LENGTH, CHUNKED, body=SMUGGLED),
    "chunks and length": post(CHUNKED, LENGTH, body=SMUGGLED),
    "xchunked": post("Transfer-Encoding: xchunked", body=SMUGGLED),
    "xchunked and length": post("Transfer-Encoding: xchunked", LENGTH, body=b"abcde"),
    "chunked twice": post("Transfer-Encoding: chunked, chunked", body=SMUGGLED),
    "chunked in two headers": post(CHUNKED, CHUNKED, body=SMUGGLED),
    "gzip, chunked": post("Transfer-Encoding: gzip, chunked", body=SMUGGLED),
    "chunked, identity": post("Transfer-Encoding: chunked, identity", body=SMUGGLED),
    "identity": post("Transfer-Encoding: identity", body=SMUGGLED),
    "no coding": post("Transfer-Encoding:", body=SMUGGLED),
    "quoted coding": post('Transfer-Encoding: "chunked"', body=SMUGGLED),
    "chunked with a tab inside": post("Transfer-Encoding: chun\tked", body=SMUGGLED),
    "chunks in HTTP/1.0": post(CHUNKED, body=SMUGGLED, version="1.0"),
    "length twice": post(LENGTH, LENGTH, body=b"abcde"),
    "two lengths": post(LENGTH, "Content-Length: 6", body=b"abcdef"),
    "lengths in one header": post("Content-Length: 5, 5", body=b"abcde"),
    "length with a sign": post("Content-Length: +5", body=b"abcde"),
    "negative length": post("Content-Length: -1", body=b"abcde"),
    "hexadecimal length": post("Content-Length: 0x5", body=b"abcde"),
    "length with an underscore": post("Content-Length: 1_0", body=b"abcde"),
    "length with a space": post("Content-Length: 5 5", body=b"abcde"),
    "length that overflows": post("Content-Length: 18446744073709551621", body=b"abcde"),
    "length of many digits": post(f"Content-Length: {'9' * 5000}", body=b"abcde"),
    "no number as length": post("Content-Length: five", body=b"abcde"),
    "empty length": post("Content-Length:", body=b"abcde"),
    "length with other digits": post("Content-Length: \xb2", body=b"abcde"),
    "negative chunk": chunked(b"-1\r\nx\r\n0\r\n\r\n"),
    "chunk that overflows": chunked(b"FFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n"),
    "chunk of 2**64 + 1": chunked(b"10000000000000001\r\nx\r\n0\r\n\r\n"),
    "chunk with 0x": chunked(b"0x1\r\nx\r\n0\r\n\r\n"),
    "chunk with a sign": chunked(b"+1\r\nx\r\n0\r\n\r\n"),
    "chunk that is no number": chunked(b"xyz\r\nx\r\n0\r\n\r\n"),
    "empty size of a chunk": chunked(b"\r\nx\r\n0\r\n\r\n"),
    "chunk longer than it says": chunked(b"1\r\nxyz\r\n0\r\n\r\n"),
    "chunk without its end": chunked(b"1\r\nx0\r\n\r\n"),
    "lines that end with LF": chunked(b"1\nx\n0\n\n"),
    "20,000 headers": get(HOST, *(f"x{i}: y" for i in range(20_000))),
    "101 headers": get(HOST, *(f"x{i}: y" for i in range(100))),
    "20,000 equal headers": get(HOST, *["x: y"] * 20_000),
    "a header of 60 kB": get(HOST, "x: " + "y" * 60_000),
    "a name of 60 kB": get(HOST, "x" * 60_000 + ": y"),
    "a header of 60 kB that never ends": get(HOST)[:-2] + b"x: " + b"y" * 600_000,
    "60 kB in 60 headers": get(HOST, *(f"x{i}: {'y' * 1000}" for i in range(60))),
    "a target of 60 kB": get(HOST, target="/" + "a" * 60_000),
    "a query of 60 kB": get(HOST, target="/healthz?" + "a" * 60_000),
    "a cookie of 60 kB": get(HOST, "Cookie: " + "a=b; " * 12_000),
    "a trailer of 60 kB": chunked(b"2\r\n{}\r\n0\r\nx: " + b"y" * 60_000 + b"\r\n\r\n"),
    "20,000 trailers": chunked(b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 20_000 + b"\r\n"),
    "a chunk's extension of 3 MB": chunked(b"2;" + b"x" * 3_000_000 + b"\r\n{}\r\n0\r\n\r\n"),
    "a million chunks of a byte": chunked(b"1\r\n \r\n" * 1_000_000 + b"0\r\n\r\n"),
    "no host": get(),
    "two hosts": get(HOST, "Host: evil.example"),
    "the same host twice": get(HOST, HOST),
    "an open bracket": get("Host: [::1"),
    "an open bracket and a port": get("Host: [::1:8000"),
    "two closing brackets": get("Host: [::1]]"),
    "no address in brackets": get("Host: [localhost]"),
    "an address without brackets": get("Host: ::1"),
    "hosts in one header": get("Host: localhost, evil.example"),
    "a host with a path": get("Host: localhost/x"),
    "a host with a user": get("Host: evil.example@localhost"),
    "a host with a fragment": get("Host: localhost#evil.example"),
    "a host with a query": get("Host: localhost?evil.example"),
    "a host with a backslash": get("Host: localhost\\evil.example"),
    "a host with a space": get("Host: local host"),
    "a port that is no number": get("Host: localhost:http"),
    "two ports": get("Host: localhost:80:80"),
    "a host of other letters": get("Host: loc\xe4lhost"),
    "a space before the colon": get(HOST, "Content-Length : 5"),
    "a folded header": get(HOST, "x: y\r\n z"),
    "a header without a colon": get(HOST, "x"),
    "a header without a name": get(HOST, ": y"),
    "a zero in a header": get(HOST, "x: a\0b"),
    "a bare CR in a header": get(HOST, "x: a\rContent-Length: 5"),
    "HTTP/2.0": get(HOST, version="2.0"),
    "HTTP/9.9": get(HOST, version="9.9"),
    "HTTP/1.2": get(HOST, version="1.2"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the hello of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no method": b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the target": get(HOST, target="/a b"),
    "zeros": bytes(1000),
    "a line that never ends": b"GET /" + b"a" * 3_000_000,
}


@pytest.mark.parametrize("content", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_no_plain_request_is_refused_and_closed(server: Server, content: bytes) -> None:
    received = exchanged(server, content)
    codes = statuses(received)
    assert len(codes) == 1, received
    assert codes[0] in (400, 431), received
    assert b"connection: close" in received.lower()
    is_alive(server)


PLAIN = {
    "a length": post("Content-Type: application/json", "Content-Length: 2", "Connection: close", body=b"{}"),
    "chunks": post(
        CHUNKED, "Content-Type: application/json", "Connection: close", body=b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "chunks with a trailer": post(
        CHUNKED,
        "Content-Type: application/json",
        "Connection: close",
        body=b"2;x=y\r\n{}\r\n0\r\nx: y\r\n\r\n",
    ),
    "capitals": post("TRANSFER-ENCODING: Chunked", "Connection: close", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "a port": get("Host: localhost:8000", "Connection: close"),
    "an address": get("Host: [::1]:80", "Connection: close"),
    "HTTP/1.0": get(HOST, version="1.0"),
    "99 headers": get(HOST, "Connection: close", *(f"x{i}: y" for i in range(97))),
    "30 kB of headers": get(HOST, "Connection: close", *(f"x{i}: {'y' * 1000}" for i in range(29))),
    "a whole address as target": get(HOST, "Connection: close", target="http://localhost/healthz"),
}


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN.keys())
def test_what_is_plain_is_answered(server: Server, content: bytes) -> None:
    (code,) = statuses(exchanged(server, content))
    assert code in (200, 415, 422)


def test_answers_before_a_broken_request_are_whole(server: Server) -> None:
    good = request(body_of(PICTURE))
    for bad in (b"junk\r\n\r\n", get("Host: [::1"), chunked(b"-1\r\n"), get(HOST, "x: " + "y" * 60_000)):
        codes = statuses(exchanged(server, good * 2 + bad + good))
        assert codes[:2] == [200, 200]
        assert codes[2:] in ([400], [431])


def test_pipelined_requests_are_bounded(server: Server) -> None:
    codes = statuses(exchanged(server, get(HOST) * 9000))
    assert 1 < len(codes) <= 20, len(codes)
    assert set(codes[:-1]) == {200}
    assert codes[-1] == 400
    is_alive(server)


WRONG_JSON = {
    "numbers": lambda n: b'{"images": [' + b"1," * (n // 2) + b"1]}",
    "keys": lambda n: b"{" + b",".join(b'"%d":0' % i for i in range(n // 12)) + b"}",
    "empty objects": lambda n: b'{"images": [' + b"{}," * (n // 3) + b"{}]}",
    "empty lists": lambda n: b"[" + b"[]," * (n // 3) + b"[]]",
    "nested lists": lambda n: b"[" * n,
    "empty strings": lambda n: b'{"images": [' + b'"",' * (n // 3) + b'""]}',
    "escapes": lambda n: b'{"images": ["' + b"\\n" * (n // 2) + b'"]}',
    "an escape that is none": lambda n: b'{"images": ["' + b"\\x" * (n // 2) + b'"]}',
    "a string that never ends": lambda n: b'{"images": ["' + b"A" * n,
    "backslashes that never end": lambda n: b'{"images": ["' + b"\\" * n,
    "spaces": lambda n: b" " * n,
    "spaces inside": lambda n: b'{"images": [' + b" " * n,
    "a long number": lambda n: b'{"images": [' + b"9" * n + b"]}",
    "the key twice": lambda n: b'{"images": [],' + b'"images": [],' * (n // 14) + b'"images": []}',
    "another key after it": lambda n: b'{"images": ["AA=="], "x": "' + b"A" * n + b'"}',
    "no UTF-8": lambda n: b'{"images": ["' + b"\xff" * n + b'"]}',
    "quotes": lambda n: b'"' * n,
    "no base64": lambda n: b'{"images": ["' + b"!" * n + b'"]}',
    "base64 of zeros": lambda n: b'{"images": ["' + b"A" * (n // 4 * 4) + b'"]}',
}


def peak_bytes(server: Server) -> int:
    """The most memory that the server and each of its children has had."""
    most = 0
    for pid in [server.process.pid, *processes_of(server.process.pid)]:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/status").read_text()
            most = max(most, 1024 * int(re.findall(r"VmHWM:\s+(\d+)", text)[0]))
    return most


@pytest.mark.parametrize("size", [1000, pytest.param(30_000_000, marks=[pytest.mark.full, linux])])
@pytest.mark.parametrize("make", WRONG_JSON.values(), ids=WRONG_JSON.keys())
def test_json_that_holds_no_pictures_costs_little(server: Server, make: object, size: int) -> None:
    body = make(size)  # type: ignore[operator]
    with server.client() as client:
        response = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500, response.text
    assert len(response.content) < 10_000
    if size > MIB:
        assert peak_bytes(server) < 800 * MIB, "a body of 30 MB took 5 GB"


PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n'
WRONG_FORMS = {
    "headers": lambda n: b"--b\r\n" + b"a:b\r\n" * (n // 5) + b"\r\nx\r\n--b--\r\n",
    "a long header": lambda n: b"--b\r\na:" + b"b" * n + b"\r\n\r\nx\r\n--b--\r\n",
    "a long name": lambda n: (
        b'--b\r\nContent-Disposition: form-data; name="' + b"n" * n + b'"\r\n\r\nx\r\n--b--\r\n'
    ),
    "parts": lambda n: (PART + b"\r\n\r\n") * (n // 60) + b"--b--\r\n",
    "lines before the first part": lambda n: b"\r\n" * (n // 2) + PART + b"\r\nx\r\n--b--\r\n",
    "no part": lambda n: b"x" * n,
    "hyphens": lambda n: PART + b"\r\n" + b"\r\n--" * (n // 4) + b"\r\n--b--\r\n",
    "almost the boundary": lambda n: PART + b"\r\n" + b"\r\n--c" * (n // 5) + b"\r\n--b--\r\n",
    "an end that is missing": lambda n: PART + b"\r\n" + b"x" * n,
}


@pytest.mark.parametrize("size", [10_000, pytest.param(30_000_000, marks=[pytest.mark.full, linux])])
@pytest.mark.parametrize("make", WRONG_FORMS.values(), ids=WRONG_FORMS.keys())
def test_forms_that_hold_no_pictures_cost_little(server: Server, make: object, size: int) -> None:
    body = make(size)  # type: ignore[operator]
    with server.client() as client:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        response = client.post("/v1/predict", content=body, headers=headers)
        assert 400 <= response.status_code < 500, response.text
        assert client.post("/v1/predict", files=upload(PICTURE)).status_code == 200
    if size > MIB:
        assert peak_bytes(server) < 800 * MIB


@pytest.mark.full
@hypothesis.given(
    st.lists(st.text(max_size=20), min_size=1, max_size=5), st.booleans(), st.sampled_from(["", " \n"])
)
@hypothesis.settings(max_examples=50, deadline=None, database=None, derandomize=True)
def test_strings_are_read_as_json_reads_them(texts: list[str], ascii_only: bool, space: str) -> None:
    body = (space + json.dumps({"images": texts}, ensure_ascii=ascii_only) + space).encode()
    # So long that nothing but the quick reader can have read it.
    padded = body + b" " * 2**16
    short, long = (pictures_of(one, "application/json", 64) for one in (body, padded))
    assert short == long
    assert len(short) == len(texts)


def test_what_the_quick_reader_does_not_read_is_explained_while_it_is_short() -> None:
    for body in (b'{"im\\u0061ges": ["AA=="]}', b'{"images": ["AA=="], "images": ["AA=="]}'):
        assert len(pictures_of(body, "application/json", 64)) == 1
    with pytest.raises(Problem, match="strings alone"):
        pictures_of(b'{"images": [1]}' + b" " * 2**17, "application/json", 64)


class Watch:
    """Asks ``/healthz`` again and again, each time on a new connection, and keeps the longest wait."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.longest = 0.0
        self.answers = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            assert statuses(exchanged(self._server, get(HOST, "Connection: close"))) == [200]
            self.longest = max(self.longest, time.monotonic() - began)
            self.answers += 1


FLOODS = {
    "trailers of 64 MB": chunked(b"2\r\n{}\r\n0\r\n" + (b"x: " + b"y" * 1000 + b"\r\n") * 64_000),
    "9,000 pipelined requests": get(HOST) * 9000,
    "pipelined posts": request(body_of(PICTURE)) * 3000,
    "chunks of a byte": chunked(b"1\r\n \r\n" * 3_000_000),
    "numbers": request(WRONG_JSON["numbers"](30_000_000)).replace(
        b"multipart/form-data; boundary=b", b"application/json"
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("content", FLOODS.values(), ids=FLOODS.keys())
def test_others_are_answered_during_a_flood(server: Server, content: bytes) -> None:
    with Watch(server) as watch:
        for _ in range(3):
            with server.connect() as connection:
                connection.settimeout(SOON)
                # The server may have closed long before all of it is sent.
                with contextlib.suppress(OSError):
                    connection.sendall(content)
                    connection.shutdown(socket.SHUT_WR)
                    rest(connection)
    assert watch.answers
    assert watch.longest < SOON


def flat(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.full
def test_pixels_of_a_request_are_counted_together(server: Server) -> None:
    large = flat(7000, 7000)  # 49 million, which one picture may have
    assert len(large) * 64 < 32 * MIB
    with server.client() as client, Watch(server) as watch:
        response = client.post("/v1/predict", files=upload(*[large] * 64))
        assert response.status_code == 413
        assert "3,136,000,000 pixels; at most 400,000,000" in response.json()["detail"]
        assert client.post("/v1/predict", files=upload(large)).status_code == 200
    assert watch.longest < SOON


def many_strips(count: int) -> bytes:
    """A TIFF whose every line is a strip of its own, compressed: Pillow takes them one by one."""
    line = zlib.compress(bytes(100))
    at = 8 + len(line)
    offsets, counts = struct.pack("<I", 8) * count, struct.pack("<I", len(line)) * count
    entries = [
        (256, 3, 1, 100),
        (257, 4, 1, count),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, count, at),
        (277, 3, 1, 1),
        (278, 4, 1, 1),
        (279, 4, count, at + len(offsets)),
    ]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *one) for one in entries)
    head = struct.pack("<2sHI", b"II", 42, at + len(offsets) + len(counts))
    return head + line + offsets + counts + table + bytes(4)


HARD = {
    "a TIFF of 150,000 strips": many_strips(150_000),
    "a TIFF": encoded(noise(1, (40, 30, 3)), "TIFF"),
    "a WebP": encoded(noise(1, (40, 30, 3)), "WEBP"),
    "a large PNG": flat(5000, 5000),
    "a large body": encoded(noise(2, (600, 400, 3))),
}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(one, id=name, marks=[] if name == "a TIFF" else pytest.mark.full)
        for name, one in HARD.items()
    ],
)
def test_decoding_that_takes_too_long_is_ended(serve: Serve, content: bytes) -> None:
    with serve(limits={"decoding_seconds": 0.001}) as server, server.client() as client:
        response = client.post("/v1/predict", files=upload(content))
        assert response.status_code == 422, response.text
        assert "longer than 0.001 s" in response.json()["detail"]
        # What is quick needs no process, and is answered in the same second.
        assert client.post("/v1/predict", files=upload(PICTURE)).status_code == 200


@pytest.mark.full
@pytest.mark.parametrize("content", list(HARD.values())[1:], ids=list(HARD)[1:])
def test_what_is_decoded_elsewhere_gets_the_same_answer(server: Server, made: Made, content: bytes) -> None:
    import conviction

    with server.client() as client:
        answer = client.post("/v1/predict", files=upload(content, PICTURE)).json()["predictions"]
        mapped = client.post("/v1/occlusion", files=upload(content)).json()
    model = conviction.load(made.onnx)
    pictures = [Image.open(io.BytesIO(one)) for one in (content, PICTURE)]
    expected = model.predict(pictures).probabilities
    for one, row in zip(answer, expected, strict=True):
        np.testing.assert_allclose(list(one["probabilities"].values()), row, atol=1e-5)
    np.testing.assert_allclose(list(mapped["probabilities"].values()), expected[0], atol=1e-5)


@pytest.mark.full
@linux
def test_a_process_that_decodes_and_is_killed_is_replaced(serve: Serve) -> None:
    large = HARD["a large PNG"]
    with serve() as server, server.client() as client:
        assert client.post("/v1/predict", files=upload(large)).status_code == 200
        (child,) = processes_of(server.process.pid)
        os.kill(child, signal.SIGKILL)
        assert client.post("/v1/predict", files=upload(large)).status_code in (200, 422)
        assert client.post("/v1/predict", files=upload(large)).status_code == 200
        assert server.stop() == 0


@pytest.mark.full
@linux
def test_processes_that_decode_end_with_a_server_that_is_killed(serve: Serve) -> None:
    with serve() as server, server.client() as client:
        assert client.post("/v1/predict", files=upload(HARD["a TIFF"])).status_code == 200
        children = processes_of(server.process.pid)
        assert children
        server.process.kill()
        server.process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while any(is_running(pid) for pid in children):
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.full
@linux
def test_memory_of_decoding_is_bounded(serve: Serve) -> None:
    with serve(limits={"decoding_bytes": 400 * MIB}) as server, server.client() as client:
        response = client.post("/v1/predict", files=upload(encoded(np.zeros((7000, 7000, 3), np.uint8))))
        assert response.status_code == 422, response.text
        assert peak_bytes(server) < 600 * MIB
        assert client.post("/v1/predict", files=upload(HARD["a TIFF"])).status_code == 200


LOGGED = [
    "\n",
    "\r\n{}",
    '"',
    "\\",
    "\x1b[2J",
    "\0",
    "\ud800",
    "\u2028",
    "é" * 5000,
    "x" * 50_000,
    "\x7f" * 3000,
]


@pytest.mark.parametrize("text", LOGGED, ids=range(len(LOGGED)))
def test_a_line_of_the_log_is_one_line_of_json(text: str) -> None:
    line = line_of({"path": text, "failure": text, "other": object(), "n": 1})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line) <= MOST_BYTES
    values = json.loads(line)
    assert values["n"] == 1
    assert text.endswith(values["path"])


LIBRARY = """
import logging, sys, threading, warnings
from conviction.server.log import log_everything
log_everything()
logging.getLogger("asyncio").error("a\\nb %s", "c")
logging.getLogger("x").warning("%d", "no number")
warnings.warn("w\\nw")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Gone:
    def __del__(self):
        raise ValueError("in the end")
Gone()
raise KeyError("planted")
"""


def test_what_libraries_say_is_json_too(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIBRARY],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    text = json.dumps([json.loads(line) for line in ended.stderr.splitlines()])
    for part in ("a\\nb c", "cannot be formatted", "ZeroDivisionError", "in the end", "planted", "w\\nw"):
        assert json.dumps(part)[1:-1].replace("\\\\", "\\") in text, part


@pytest.mark.full
def test_paths_are_one_value_of_the_log(serve: Serve) -> None:
    with serve() as server:
        for target in ('/%0a{"status":0}', "/%00", "/%22", "/%ff%fe", "/" + "%e2%80%a8" * 300):
            exchanged(server, get(HOST, "Connection: close", target=target))
        assert server.stop() == 0
        assert [line["status"] for line in server.log] == [404] * 5


# Workers are known by the order in which they were forked; a worker that replaces one has a new number.
DYING = """
import os, sys
from conviction.server import process
file, dies = sys.argv[1:]
work, fork, number = process._work, os.fork, 0
def counted():
    global number
    number += 1
    return fork()
def planted(*given):
    if {"once": number == 1, "again": number != 2, "all": True}[dies]:
        os._exit(3)
    work(*given)
os.fork, process._work = counted, planted
process.serve(file, port=0, workers=2)
"""


def start_dying(made: Made, tmp_path: Path, dies: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DYING, str(made.onnx), dies],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
@linux
@pytest.mark.parametrize("dies", ["once", "again"])
def test_a_worker_that_dies_at_its_start_does_not_end_the_others(
    made: Made, tmp_path: Path, dies: str
) -> None:
    process = start_dying(made, tmp_path, dies)
    assert process.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
    assert address
    content = request(body_of(PICTURE), "Connection: close\r\n")
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", int(address[1])), timeout=PATIENCE) as connection:
            connection.sendall(content)
            assert statuses(rest(connection)) == [200]
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    assert any(line.get("exit") == 3 for line in lines)


@pytest.mark.full
def test_workers_that_all_die_at_their_start_end_the_server(made: Made, tmp_path: Path) -> None:
    process = start_dying(made, tmp_path, "all")
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert out == ""
    assert "every worker ended as soon as it was started" in errors


@pytest.mark.full
@linux
def test_a_killed_supervisor_takes_workers_along_that_are_still_asked(serve: Serve) -> None:
    large = request(body_of(PICTURE))
    with serve(options={"workers": 2}, seconds=0.01) as server:
        workers = processes_of(server.process.pid)
        # A request that never becomes whole would keep a worker that waits for it.
        with server.connect() as one, server.connect() as two:
            one.sendall(large[:-5])
            two.sendall(large[:-5])
            server.process.kill()
            server.process.wait(PATIENCE)
            deadline = time.monotonic() + PATIENCE
            while any(is_running(pid) for pid in workers):
                assert time.monotonic() < deadline
                threading.Event().wait(0.01)
