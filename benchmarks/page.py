"""``make bench-page``: what the lab page costs a training, and how soon it answers while one runs.

    python benchmarks/page.py [--source SOURCE] [--images N] [--pairs N] [--epochs N] [--edits N] [--frames N]

In turn: the same training by the command line alone, and started with two pages of the lab open. The pages are
clients without a browser, because a browser's own work is not the server's: they take the HTML, hold the socket that
a browser would hold, and get every update. Speed is images/s of the epochs after the first, in which the network is
traced. Then edits of the network in Chromium are timed, from the press to the changed page and to the next frame,
without and beside a training. This takes about eight minutes on two cores. Copy what it prints to
docs/measurements.md.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import csv
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import socketio

from conviction.web.jobs import processes


def speed(run: Path) -> float:
    """Images a second over the epochs after the first."""
    with (run / "timing.csv").open() as file:
        rows = [float(row["images_per_second"]) for row in csv.DictReader(file)][1:]
    return len(rows) / sum(1 / r for r in rows)


def processor_seconds(pid: int) -> float:
    """What a process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def lab(out: Path) -> Iterator[tuple[str, int]]:
    """Address and number of a lab that is ready."""
    words = [sys.executable, "-m", "conviction", "lab", "--port", "0", "--no-browser", "--out", str(out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://[^\s#]+", process.stdout.readline())
        assert found
        try:
            yield found[0].rstrip("/"), process.pid
        finally:
            process.send_signal(signal.SIGTERM)


async def look_on(address: str, path: str, got: list[Any]) -> socketio.AsyncClient:
    """What a browser holds of a page: its socket; the updates that come are put into ``got``."""
    html = (await asyncio.to_thread(urllib.request.urlopen, address + path)).read().decode()
    found = re.search(r"query: (\{.*?\}),", html)
    assert found
    query = {**ast.literal_eval(found[1]), "document_id": str(uuid.uuid4()), "tab_id": str(uuid.uuid4())}
    words = "&".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in query.items())
    client = socketio.AsyncClient()
    client.on("update", got.append)
    await client.connect(
        f"{address}?{words}", socketio_path="/_nicegui_ws/socket.io", transports=["websocket"]
    )
    return client


async def watched(address: str, pid: int, out: Path, argv: list[str]) -> tuple[float, float, float]:
    """(images/s, share of one core that the server used, seconds until a page appears while it trains)."""
    run = Path(argv[argv.index("--out") + 1])
    with urllib.request.urlopen(address + "/lab") as page:
        desk = page.geturl().rpartition("/")[0].removeprefix(address)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "conviction", *argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (run / "config.yaml").exists():  # before that there is no such page
        await asyncio.sleep(0.1)
    got: list[Any] = []
    clients = [await look_on(address, f"{desk}/train/{run.name}", got) for _ in range(2)]
    before, began = processor_seconds(pid), time.monotonic()
    while not (run / "history.csv").exists():
        await asyncio.sleep(0.1)
    asked = time.monotonic()
    await asyncio.to_thread(lambda: urllib.request.urlopen(f"{address}{desk}/network").read())
    page_seconds = time.monotonic() - asked
    await process.wait()
    used = (processor_seconds(pid) - before) / (time.monotonic() - began)
    for client in clients:
        await client.disconnect()
    assert got, "the pages were told nothing"
    return speed(run), used, page_seconds


PRESS = """kind => new Promise((done) => {
  const all = [...document.querySelectorAll(`[data-key^="${kind}"]:not(:disabled)`)];
  const work = document.querySelector("#work");
  const began = performance.now();
  const look = new MutationObserver(() => {
    const changed = performance.now() - began;
    look.disconnect();
    requestAnimationFrame(() => setTimeout(() => done([changed, performance.now() - began])));
  });
  look.observe(work, { childList: true, subtree: true, characterData: true, attributes: true });
  all[Math.min(1, all.length - 1)].click();
})"""


def edit_times(address: str, times: int) -> list[tuple[float, float]]:
    """(ms until the page has changed, ms until that is drawn) of edits that cancel each other out."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address + "/lab")
        page.goto("/".join(page.url.split("/")[:5]) + "/network")
        page.locator(".layer").nth(5).wait_for()
        found = []
        for i in range(times):
            found.append(page.evaluate(PRESS, ("down-", "up-", "remove-", "undo")[i % 4]))
            page.wait_for_timeout(150)  # as fast as anyone can press
        browser.close()
        return found


def say_edits(place: Path, source: str, keys: list[str], times: int) -> None:
    """Measures edits, and prints them."""
    with lab(place / "edits") as (address, _):
        for words in ("alone", "beside a training"):
            training = None
            if words != "alone":
                out = place / "edits" / "training"
                argv = ["fit", source, *keys, "training.epochs=100", "--json", "--out", str(out)]
                program = [sys.executable, "-m", "conviction", *argv]
                training = processes.start(program, place / "out.txt", place / "err.txt")  # as the page does
                while not (out / "history.csv").exists():
                    assert training.poll() is None
                    time.sleep(0.2)
            changed, drawn = zip(*edit_times(address, times), strict=True)
            if training is not None:
                training.terminate()
                training.wait()
            late = sum(ms > 100 for ms in drawn)
            print(
                f"{times} edits {words}: changed after {statistics.median(changed):.0f} ms in the median, at worst "
                f"{max(changed):.0f} ms; drawn after {statistics.median(drawn):.0f} ms, at worst {max(drawn):.0f} ms, "
                f"{late} later than the 100 ms that are wanted",
                flush=True,
            )


# A circle is drawn on the first page, a step at each frame; the times of its frames come back.
DRAW = """frames => new Promise((done) => {
  const sheet = document.querySelector("canvas.input");
  const box = sheet.getBoundingClientRect();
  const times = [];
  const at = (kind, angle) => sheet.dispatchEvent(new PointerEvent(kind, {
    bubbles: true, pointerId: 1, clientX: box.x + box.width * (0.5 + 0.3 * Math.cos(angle)),
    clientY: box.y + box.height * (0.5 + 0.3 * Math.sin(angle)) }));
  at("pointerdown", 0);
  const step = (now) => {
    times.push(now);
    at("pointermove", times.length / 10);
    if (times.length <= frames) requestAnimationFrame(step);
    else done(times);
  };
  requestAnimationFrame(step);
})"""


def say_opening(out: Path, frames: int) -> None:
    """Measures the first page, and prints when its network is there, and how smoothly it follows the pointer."""
    from playwright.sync_api import sync_playwright

    with lab(out) as (address, _), sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.wait_for_function("document.querySelector('.probabilities .best') !== null")
        shown = page.evaluate("performance.now()")
        page.get_by_text("Read as").wait_for(state="attached")
        gaps = np.diff(page.evaluate(DRAW, frames))
        browser.close()
    print(
        f"The first page answers {shown:.0f} ms after it was asked for (wanted: 1,000); while one draws, "
        f"{1000 / gaps.mean():.0f} frames a second, the slowest after {gaps.max():.0f} ms",
        flush=True,
    )


def some_of(source: str, images: int, place: Path) -> str:
    """A file of some training images of a source, because ten rounds with the whole source take too long."""
    from conviction.config import DataSpec
    from conviction.data import load_source

    found = load_source(source, DataSpec())
    rows = (found.parts == "train").nonzero()[0][:images]
    file = place / f"{source}.npz"
    np.savez(file, x=found.pixels[rows], y=found.labels[rows])
    return str(file)


def main() -> None:
    """Trains in turn, and prints medians."""
    parser = argparse.ArgumentParser(description="What the lab page costs a training.")
    parser.add_argument("--source", default="fashion_mnist")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--frames", type=int, default=300)
    given = parser.parse_args()
    keys = ["recipe=lab", f"training.epochs={given.epochs}", "evaluation.test=false"]
    ratios, shares, pages = [], [], []
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        source = some_of(given.source, given.images, out)
        for pair in range(given.pairs):
            alone, beside = out / f"alone-{pair}", out / f"beside-{pair}"
            words = ["fit", source, *keys, "--json", "--out"]
            subprocess.run(
                [sys.executable, "-m", "conviction", *words, str(alone)],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            with lab(out) as (address, pid):
                fast, used, page = asyncio.run(watched(address, pid, out, [*words, str(beside)]))
            ratios.append(fast / speed(alone))
            shares.append(used)
            pages.append(page)
            print(
                f"pair {pair + 1}: {speed(alone):,.0f} images/s alone, {fast:,.0f} with two pages open",
                flush=True,
            )
        say_opening(out / "opening", given.frames)
        if given.edits:
            say_edits(out, source, keys[:1], given.edits)
    print(
        f"Training speed with the page, of that without: median {statistics.median(ratios):.3f} of {len(ratios)} pairs"
    )
    print(f"  ({min(ratios):.3f} to {max(ratios):.3f}; wanted: at least 0.95)")
    print(f"The server used {100 * statistics.median(shares):.1f}% of one core")
    print(
        f"A page was there after {statistics.median(pages):.2f} s while it trained (wanted: 2 s, drawing included)"
    )


if __name__ == "__main__":
    main()
