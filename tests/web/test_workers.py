"""The one process beside the server: it answers in turn, is replaced when it dies, and ends with the server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conviction.errors import ConvictionError, RequestError, RunError
from conviction.web.inside import Inspector
from conviction.web.jobs import processes
from conviction.web.jobs.helper import Helper, KilledError
from tests.patience import PATIENCE

SERVER = """
import asyncio, os, sys
from conviction.web.jobs.helper import Helper

if __name__ == "__main__":
    print(asyncio.run(Helper().call(os.getpid)), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def helper() -> Iterator[Helper]:
    made = Helper()
    yield made
    made.close()


@pytest.mark.parametrize("killed", [True, False])
def test_it_ends_when_the_server_ends(killed: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        helper = int(server.stdout.readline())
        born = processes.birth(helper)
        assert processes.is_alive(helper, born)
        if killed:
            os.kill(server.pid, signal.SIGKILL)
        else:
            server.communicate()
            assert server.returncode == 0
    deadline = time.monotonic() + PATIENCE
    while processes.is_alive(helper, born):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_pages_and_the_look_inside_share_one_process(helper: Helper, tmp_path: Path) -> None:
    async def ask() -> tuple[int, int]:
        first = await helper.call(os.getpid)
        with pytest.raises(RunError, match="there is no such run folder"):
            await Inspector(helper).open(tmp_path / "none")
        return first, await helper.call(os.getpid)

    first, second = asyncio.run(ask())
    assert first == second == helper.pid != os.getpid()


def test_what_goes_wrong_comes_back_as_it_is_and_stops_nothing(helper: Helper) -> None:
    async def ask(error: type[Exception], function: Any, *arguments: Any, **more: Any) -> str:
        with pytest.raises(error) as caught:
            await helper.call(function, *arguments, **more)
        return str(caught.value)

    async def all_of_them() -> int:
        pid = await helper.call(os.getpid)
        assert await ask(RequestError, raises, "planted") == "planted"
        assert "invalid literal" in await ask(ValueError, int, "x")
        await ask(Exception, threading.Lock)  # its result cannot be sent
        assert await helper.call(os.getpid) == pid
        assert "No answer came within 0 seconds" in await ask(
            ConvictionError, time.sleep, 1000, patience=0.01
        )
        assert "was killed" in await ask(KilledError, os._exit, 1)
        return await helper.call(os.getpid) - pid

    assert asyncio.run(all_of_them()) != 0


def raises(sentence: str) -> None:
    raise RequestError(sentence)


def test_a_question_that_kills_the_process_twice_fails(
    helper: Helper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "_ask", counted := Counted(helper._ask))
    with pytest.raises(ConvictionError, match="ended twice"):
        asyncio.run(Inspector(helper).open(tmp_path))
    assert counted.calls == 2


class Counted:
    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, question: Any, patience: float | None) -> Any:
        self.calls += 1
        return self.function((os._exit, (1,)), patience)


def test_a_call_that_is_cancelled_before_its_turn_is_not_made(helper: Helper, tmp_path: Path) -> None:
    fifo, mark = tmp_path / "fifo", tmp_path / "mark"
    os.mkfifo(fifo)

    async def ask() -> None:
        first = asyncio.create_task(helper.call(Path.read_text, fifo))  # until somebody writes
        second = asyncio.create_task(helper.call(Path.touch, mark))
        third = asyncio.create_task(helper.call(os.getpid))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.to_thread(fifo.write_text, "now")
        assert await first == "now"
        assert await third == helper.pid

    asyncio.run(ask())
    assert not mark.exists()


def test_a_lab_that_is_being_closed_refuses(helper: Helper) -> None:
    helper.close()
    with pytest.raises(ConvictionError, match="being closed"):
        asyncio.run(helper.call(os.getpid))
