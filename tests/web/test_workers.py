"""The process beside the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from conviction.web.jobs import processes
from tests.patience import PATIENCE

SERVER = """
import asyncio, os, sys
from conviction.web.jobs.helper import Helper

if __name__ == "__main__":
    print(asyncio.run(Helper().call(os.getpid)), flush=True)
    sys.stdin.read()
"""


def test_it_ends_when_the_server_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        helper = int(server.stdout.readline())
        born = processes.birth(helper)
        assert processes.is_alive(helper, born)
        os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while processes.is_alive(helper, born):
        assert time.monotonic() < deadline
        time.sleep(0.05)
