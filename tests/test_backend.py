"""Importing Keras: what may come in the middle of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conviction.backend import signals_wait

# As some libraries do around what they can do without.
SWALLOWS = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.01)
except BaseException:
    pass
"""
SCRIPT = """
import signal, sys
from conviction.backend import import_keras
def handle(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, handle)
try:
    import_keras()
except KeyboardInterrupt:
    sys.exit("heard")
sys.exit("lost")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_import_that_swallows_everything_does_not_lose_a_signal(name: str, tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text(SWALLOWS.format(name=name))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "heard"


def test_what_is_ignored_stays_ignored_and_handlers_come_back() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals_wait():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    reached = []

    def interrupted_twice() -> None:
        with signals_wait():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_imports_as_well() -> None:
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with signals_wait():
                pass
        except BaseException as failure:  # whatever it is
            failures.append(failure)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failures


def test_a_child_that_is_started_without_ctrl_c_does_not_hear_it_and_its_parent_does_afterwards() -> None:
    script = (
        "import signal; from multiprocessing import get_context; from tests.test_backend import hears_ctrl_c\n"
        "from conviction.backend import children_without_ctrl_c\n"
        "if __name__ == '__main__':\n"
        "    came = []\n"
        "    signal.signal(signal.SIGINT, lambda *_: came.append(1))\n"
        "    child = get_context('spawn').Process(target=hears_ctrl_c)\n"
        "    with children_without_ctrl_c():\n"
        "        child.start()\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    child.join()\n"
        "    print(child.exitcode, came)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "0 [1]\n"


def hears_ctrl_c() -> None:
    sys.exit(signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, []))
