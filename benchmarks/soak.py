"""``make bench-soak``: half an hour of mixed load, a tenth of it malformed, with a SIGTERM in the middle.

    python benchmarks/soak.py [--run RUN] [--minutes N]

The server has core 0, the clients core 1: 16 connections that ask again as soon as they are answered. In the middle the
server gets a SIGTERM under full load; every request sent before it must be answered before it ends with exit code 0,
and another one takes over. Wanted: no answer of 500 or above but 503, nothing lost, and memory that stays: the process
may have at most a tenth and 20 MB more at the end of each half than two minutes after its start.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import signal
import struct
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from serve import CLIENT_CORE, body, picture, server

CONNECTIONS, SETTLED_SECONDS = 16, 120
FORM = "multipart/form-data; boundary=b"


def form(*contents: bytes) -> bytes:
    """Files as a form."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return b"".join(head + content + b"\r\n" for content in contents) + b"--b--\r\n"


def bomb() -> bytes:
    """A PNG of some bytes that declares a gigapixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


def photograph() -> bytes:
    """A JPEG of 1200x900."""
    import io

    from PIL import Image

    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((1200, 900), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return file.getvalue()


def request(path: str, kind: str, content: bytes, method: str = "POST") -> bytes:
    """The request as bytes on the wire."""
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


def requests() -> tuple[list[bytes], list[bytes]]:
    """(good ones, malformed ones)."""
    small, large = picture(), photograph()
    encoded = json.dumps({"images": [base64.b64encode(small).decode()] * 3}).encode()
    good = [
        *[request("/v1/predict", FORM, body())] * 6,
        request("/v1/predict", FORM, form(*[small] * 8)),
        request("/v1/predict", FORM, form(large)),
        request("/v1/predict", "application/json", encoded),
        request("/v1/model", "text/plain", b"", "GET"),
    ]
    bad = [
        request("/v1/predict", FORM, form(b"no picture")),
        request("/v1/predict", FORM, form(small[: len(small) // 2])),
        request("/v1/predict", FORM, form(bomb())),
        request("/v1/predict", FORM, form(*[small] * 65)),
        request("/v1/predict", FORM, body()[:-20]),
        request("/v1/predict", "application/json", b'{"images": [[[[['),
        request("/v1/predict", "application/json", b'{"images": ["%%%"]}'),
        request("/v1/predict", "text/plain", b"hello"),
        request("/v1/nothing", FORM, body()),
        request("/v1/predict", FORM, b"", "DELETE"),
    ]
    return good, bad


class Load:
    """What was sent and what came back."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.lost = 0
        self.ending = False

    async def ask(self, port: int, seed: int, until: float) -> None:
        """One connection after another, each used until it is closed."""
        chance, (good, bad) = random.Random(seed), requests()
        while time.monotonic() < until and not self.ending:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            try:
                while time.monotonic() < until and not self.ending:
                    malformed = chance.random() < 0.1
                    await self._one(reader, writer, chance.choice(bad if malformed else good), malformed)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes, malformed: bool
    ) -> None:
        before = self.ending
        writer.write(content)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            self.lost += not before
            raise
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        self.statuses[f"{'malformed' if malformed else 'good'} {head[9:12].decode()}"] += 1
        if b"connection: close" in head.lower():
            raise ConnectionError


async def half(path: Path, seconds: float) -> Load:
    """Loads the server until the time is over, then sends SIGTERM under load."""
    load = Load()
    with server(path) as (port, process):
        began = time.monotonic()
        clients = [asyncio.create_task(load.ask(port, i, began + seconds + 60)) for i in range(CONNECTIONS)]
        await asyncio.sleep(min(SETTLED_SECONDS, seconds / 3))
        settled = memory(process.pid)
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        at_last = memory(process.pid)
        load.ending = True
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*clients)
        code = process.wait(60)
    print(f"  memory {settled} MB after settling, {at_last} MB at the end; exit code {code} after SIGTERM")
    if at_last > 1.1 * settled + 20 or code:
        sys.exit("Not as wanted.")
    return load


def memory(pid: int) -> int:
    """The memory that the process and its children hold, in MB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for process in [str(pid), *children]:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1])
    return total // 1024


def main() -> None:
    """Two halves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--run", type=Path, default=Path("runs/lab"))
    parser.add_argument("--minutes", type=float, default=30.0)
    given = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    wrong = False
    for number in (1, 2):
        print(f"Half {number}:", flush=True)
        load = asyncio.run(half(given.run / "exports" / "model.onnx", 30 * given.minutes))
        print(f"  {dict(sorted(load.statuses.items()))}, lost {load.lost}", flush=True)
        statuses = {name.split()[1] for name in load.statuses}
        wrong |= bool(load.lost) or any(s >= "500" and s != "503" for s in statuses)
        wrong |= any(n.startswith("good") and not n.endswith(("200", "503")) for n in load.statuses)
        wrong |= "malformed 200" in load.statuses
    sys.exit("Not as wanted." if wrong else 0)


if __name__ == "__main__":
    main()
