"""``make bench-serve``: how much a server on one core answers, and what it does with ten times that load.

    python benchmarks/serve.py [--run RUN] [--seconds N]

The server has core 0, the clients core 1. Closed loop: 32 connections, each of which asks again as soon as it is
answered. Open loop: requests are sent at ten times that rate whether or not anything is answered, so most must be
refused; what counts is that those that are accepted are answered soon, and that the server is as quick as before
afterwards. Also one image through onnxruntime alone, and through Keras's ``predict``, the way of answering that it
replaces. Needs wrk (Debian: apt-get install wrk). Copy what it prints to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

CONNECTIONS = 32
SERVER_CORE, CLIENT_CORE = 0, 1
WRK = """
local file = io.open("BODY", "rb")
wrk.body = file:read("*a")
file:close()
wrk.method = "POST"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=b"
done = function(summary, latency, requests)
  io.write(string.format("rate %f\\n", summary.requests / summary.duration * 1e6))
  io.write(string.format("p50 %f\\n", latency:percentile(50) / 1000))
  io.write(string.format("p99 %f\\n", latency:percentile(99) / 1000))
  io.write(string.format("bad %d\\n", summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout))
end
"""


def picture() -> bytes:
    """A PNG of 28x28, gray, as noisy as a piece of clothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    pixels[:6], pixels[-6:] = 0, 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def body() -> bytes:
    """That picture as a form."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return head + picture() + b"\r\n--b--\r\n"


@contextmanager
def server(path: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The command itself, on one core; gives its port and its process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "conviction", "serve", path, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r":(\d+) ", process.stdout.readline())
    if found is None:
        sys.exit(f"The server did not start; see: conviction serve {path}")
    ready = time.perf_counter() - began
    print(f"Ready {ready:.2f} s after its start, {processor_seconds(process.pid):.2f} s of them calculating.")
    try:
        yield int(found[1]), process
    finally:
        process.send_signal(signal.SIGTERM)  # does nothing if it has ended
        process.wait(60)


def processor_seconds(pid: int) -> float:
    """What a process has used; unlike a rate, it says something on a machine that others use as well."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def closed_loop(port: int, seconds: int) -> dict[str, float]:
    """What wrk measures: requests a second, latencies in ms, requests without a good answer."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body())
        script = Path(folder) / "post.lua"
        script.write_text(WRK.replace("BODY", str(Path(folder) / "body")))
        command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
        done = subprocess.run(
            [*command, "-s", script, f"http://127.0.0.1:{port}/v1/predict"],
            capture_output=True,
            text=True,
            check=True,
        )
    return {name: float(value) for name, value in re.findall(r"^(\w+) ([\d.]+)$", done.stdout, re.M)}


class Asking(asyncio.Protocol):
    """One connection of the open loop: sends when asked to, and counts what comes back, in order."""

    def __init__(self, seen: list[tuple[int, float]]) -> None:
        self.seen = seen
        self.sent: list[float] = []
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes) -> None:
        """One request, if the last one has been answered."""
        assert self.transport is not None
        self.sent.append(time.perf_counter())
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Counts whole answers."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            length = int(re.search(rb"content-length: (\d+)", self.received[:end])[1])  # type: ignore[index]
            if len(self.received) < end + 4 + length:
                return
            status = int(self.received[9:12])
            self.received = self.received[end + 4 + length :]
            self.seen.append((status, time.perf_counter() - self.sent.pop(0)))


async def open_loop(port: int, rate: float, seconds: float, connections: int = 400) -> dict[str, float]:
    """Requests at a rate that nothing slows down, as far as this generator and its connections reach."""
    form = body()
    request = (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        + f"Content-Length: {len(form)}\r\n\r\n".encode()
        + form
    )
    seen: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Asking(seen), "127.0.0.1", port) for _ in range(connections)]
    free = [protocol for _, protocol in made]
    began = time.perf_counter()
    sent = late = 0
    while (elapsed := time.perf_counter() - began) < seconds:
        for _ in range(int(elapsed * rate) - sent - late):
            idle = next((p for p in free if not p.sent), None)
            if idle is None:
                late += 1  # every connection waits for an answer: this request would have to queue outside
                continue
            free.remove(idle)
            free.append(idle)
            idle.ask(request)
            sent += 1
        await asyncio.sleep(0.0005)
    while len(seen) < sent and time.perf_counter() - began < seconds + 30:
        await asyncio.sleep(0.01)
    for transport, _ in made:
        transport.close()
    statuses = Counter(status for status, _ in seen)
    good = sorted(taken for status, taken in seen if status == 200)
    refused = sorted(taken for status, taken in seen if status == 503)
    return {
        "wanted": rate,
        "sent": sent / seconds,
        "answered": statuses[200] / seconds,
        "refused": statuses[503] / seconds,
        "lost": sent - statuses[200] - statuses[503],
        "p99": 1000 * good[int(0.99 * (len(good) - 1))] if good else float("nan"),
        "refused_p99": 1000 * refused[int(0.99 * (len(refused) - 1))] if refused else 0.0,
    }


def microseconds(call: Callable[[np.ndarray], object], shape: tuple[int, ...], times: int) -> float:
    """The median over single images."""
    image = np.zeros((1, *shape), np.uint8)
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call(image)
        taken.append(time.perf_counter() - began)
    return 1e6 * statistics.median(taken)


def single_images(run: Path, path: Path) -> None:
    """One image at a time, on one core."""
    import conviction

    os.sched_setaffinity(0, {CLIENT_CORE})
    artefact = conviction.load(path, threads=1)
    shape = artefact.rule.shape
    print(f"\nOne image {shape}, one core, median:")
    print(f"  onnxruntime     {microseconds(artefact.answer, shape, 3000):9.0f} microseconds")
    from conviction.backend import import_keras

    keras = import_keras()
    model = keras.saving.load_model(run / "model.keras")
    print(
        f"  Keras predict   {microseconds(lambda x: model.predict(x, verbose=0), shape, 60):9.0f} microseconds"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="How much a server on one core answers.")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/lab"), help="With exports/model.onnx; default runs/lab."
    )
    parser.add_argument("--seconds", type=int, default=30)
    given = parser.parse_args()
    path = given.run / "exports" / "model.onnx"
    if not path.is_file():
        sys.exit(f"{path}: not there. Make it: conviction fit fashion_mnist recipe=lab --out {given.run}; "
                 f"conviction export {given.run} --format onnx")  # fmt: skip
    missing = [name for name in ("wrk", "taskset") if shutil.which(name) is None]
    if missing or (os.cpu_count() or 1) < 2:
        sys.exit(f"Needs two cores and {' and '.join(missing) or 'no more'} (Debian: apt-get install wrk).")
    with server(path) as (port, process):
        closed_loop(port, 2)  # warm
        before = processor_seconds(process.pid)
        quiet = closed_loop(port, given.seconds)
        used = processor_seconds(process.pid) - before
        os.sched_setaffinity(0, {CLIENT_CORE})
        flood = asyncio.run(open_loop(port, 10 * quiet["rate"], given.seconds))
        after = closed_loop(port, max(2, given.seconds // 3))
    print(f"Closed loop, {CONNECTIONS} connections, PNG of 28x28, {given.seconds} s:")
    print(
        f"  {quiet['rate']:.0f} requests/s, p50 {quiet['p50']:.1f} ms, p99 {quiet['p99']:.1f} ms, "
        f"{quiet['bad']:.0f} bad (wanted: 600, p99 below 80 ms)"
    )
    print(f"  {1000 * used / (quiet['rate'] * given.seconds):.2f} ms of the processor for each request")
    print(
        f"Open loop at ten times that, {flood['wanted']:.0f} requests/s; the generator sent {flood['sent']:.0f}/s:"
    )
    print(
        f"  answered {flood['answered']:.0f}/s, p99 {flood['p99']:.0f} ms; refused {flood['refused']:.0f}/s, "
        f"p99 {flood['refused_p99']:.0f} ms; lost {flood['lost']:.0f}"
    )
    print(f"Closed loop afterwards: {after['rate']:.0f} requests/s, p99 {after['p99']:.1f} ms")
    single_images(given.run, path)


if __name__ == "__main__":
    main()
