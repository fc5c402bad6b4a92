"""What a task can do wrong; each runs in a worker process."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any


def double(payload: Any, report: Any) -> dict[str, Any]:
    return {"value": 2 * payload["n"], "process": os.getpid()}


def tells(payload: Any, report: Any) -> list[bool]:
    answers = []
    for i in range(payload["n"]):
        answers.append(report(i))
        if not answers[-1]:
            break
    return answers


def raises(payload: Any, report: Any) -> None:
    raise ValueError("the planted reason")


def ends_early(payload: Any, report: Any) -> None:
    raise EOFError("the planted end")


def exits(payload: Any, report: Any) -> None:
    os._exit(3)


def crashes(payload: Any, report: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(payload: Any, report: Any) -> None:
    report("it has begun")
    signal.pause()


def allocates(payload: Any, report: Any) -> None:
    held = []
    while True:
        held.append(bytearray(os.urandom(1)) * 50_000_000)
        time.sleep(0.01)  # until it is caught; without it the machine would be full first


def dies_once(payload: Any, report: Any) -> str:
    mark = Path(payload["mark"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def grows(payload: Any, report: Any) -> int:
    kept.append(bytearray(b"1") * payload["bytes"])
    return os.getpid()


def says_its_number_and_waits(payload: Any, report: Any) -> str:
    report(os.getpid())
    go = Path(payload["go"])
    while not go.exists():
        time.sleep(0.02)  # the test has no other handle on this process
    return "done"


kept: list[bytearray] = []


def meets(payload: Any, report: Any) -> dict[str, Any]:
    """Waits for another task, so that both run at once; says what they have of a GPU."""
    Path(payload["mine"]).touch()
    while not Path(payload["other"]).exists():
        time.sleep(0.02)  # the other has no other handle on this process
    names = ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION", "TF_FORCE_GPU_ALLOW_GROWTH")
    return {name: os.environ.get(name) for name in names}


def where_pixels_lie(payload: Any, report: Any) -> dict[str, Any]:
    """The file that the pixels of shared images are mapped from, and the digest of their bytes."""
    from conviction.pool.shared import open_shared

    images = open_shared(payload["data"]).images
    at = images.pixels.ctypes.data
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(n, 16) for n in line.split()[0].split("-"))
        if low <= at < high:
            return {"file": line.split()[5], "digest": hashlib.sha256(images.pixels).hexdigest()}
    raise AssertionError("they lie nowhere")
