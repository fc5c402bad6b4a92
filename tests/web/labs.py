"""A lab as a user starts it, for the tests in a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import environment
from tests.patience import PATIENCE

# Jobs give way to the page; beside other tests they would wait for minutes.
AS_USERS_START_IT = (
    "from conviction.cli.main import main; from conviction.web.jobs import processes; "
    "processes.NICENESS = 0; main()"
)


class Served:
    """A lab that is ready."""

    def __init__(self, process: subprocess.Popen[str], line: str, out: Path) -> None:
        self.process, self.out = process, out
        found = re.search(r"http://\S+", line)
        assert found, line
        self.link = found[0]
        self.address = re.split("[?#]", self.link)[0].rstrip("/")
        # Where the steps are; the address alone is the opening.
        self.bench = f"{self.address}/lab"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def lab(place: Path, *arguments: str | Path, script: str = "") -> Iterator[Served]:
    """``conviction lab`` as a user starts it, or by a script that calls it; its errors fail the test."""
    errors = place / "errors.txt"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                script or AS_USERS_START_IT,
                "lab",
                "--port",
                "0",
                "--no-browser",
                "--out",
                "runs",
                *map(str, arguments),
            ],
            cwd=place,
            env=environment(place / "home"),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        served = Served(process, line, place / "runs")
        try:
            yield served
            assert process.poll() is None or process.returncode == 0
        finally:
            if process.poll() is None:
                assert served.stop() == 0
            end_what_runs(place / "runs")
    assert "Traceback" not in errors.read_text(), errors.read_text()


def end_what_runs(out: Path) -> None:
    """Jobs outlive their server, but no test."""
    for record in out.glob(".lab/jobs/*/job.json"):
        job = json.loads(record.read_text())
        if job["state"] == "running":
            try:
                os.killpg(job["pid"], signal.SIGKILL)
            except ProcessLookupError:
                continue


def to(page: Any, step: str, part: str = "") -> None:
    """Opens a step on the same desk."""
    from playwright.sync_api import Error

    address = "/".join([*page.url.split("/")[:5], step, part]).rstrip("/")
    try:
        page.goto(address)
    except Error as failure:
        # A page whose images were changed just before loads itself again, and Chromium lets the later one win.
        if "ERR_ABORTED" not in str(failure) and "interrupted" not in str(failure):
            raise
        page.wait_for_load_state()
        page.goto(address)
    page.locator("main h1").wait_for()


def settled(page: Any) -> None:
    page.locator(".waiting").first.wait_for(state="detached")


def from_the_lab(page: Any) -> None:
    """Whatever another test has built, the lab's network is there now."""
    to(page, "network")
    page.get_by_role("button", name="Start again from the recipe lab").click()
    page.get_by_text("315,146").first.wait_for()


@contextmanager
def held(served: Served) -> Iterator[None]:
    """A server that answers nothing meanwhile, as on the slowest machine; what it was asked it does afterwards."""
    served.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        served.process.send_signal(signal.SIGCONT)
