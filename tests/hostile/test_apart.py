"""The process in which a model is opened: what ends it is a refusal here, and its limits hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.artefacts import apart, limits, load
from conviction.artefacts.apart import open_apart, try_apart
from conviction.errors import ArtefactError, RequestError
from tests.conftest import Cli
from tests.hostile import models as made
from tests.hostile.conftest import Ours

pytestmark = pytest.mark.full

CARD = made.card_for("keras").model_dump_json()


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Another program in place of the one that opens the file, as if the file had taken it over."""

    def put(code: str) -> None:
        whole = f"import os, sys, time, json\ncard = {CARD!r}\nout = sys.stdout.buffer\n{code}\n"

        def start(form: str, path: Path) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-c", whole],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

        monkeypatch.setattr(apart, "start", start)

    return put


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.abort()", "ended by SIGABRT"),
        ("os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("sys.exit(3)", "ended with exit code 3"),
        ("sys.exit(0)", "ended with exit code 0"),
        ("out.write(b'no JSON\\n')", "not opened"),
        ("out.write(b'[' * 100_000 + b'\\n')", "not opened"),
        ("out.write(b'[]\\n')", "not opened"),
        ("out.write(b'{\"bytes\": 1e99}\\n')", "not opened"),
        ("out.write(b'{\"bytes\": -1}\\n')", "not opened"),
        ("out.write(b'{\"bytes\": 99}\\n')", "not opened"),
        ('out.write(b\'{"card": "{}", "bytes": 0}\\n\')', "model card cannot be used"),
        ("out.write(b'{\"bytes\": 0}\\n')", "model card cannot be used"),
        ("while True: out.write(b'x' * 1_000_000)", "not opened"),
    ],
)
def test_a_process_that_does_not_do_its_work(instead: Callable[[str], None], code: str, words: str) -> None:
    instead(code)
    for way in (open_apart, try_apart):
        with pytest.raises(ArtefactError, match=words):
            way("keras", Path("model.keras"))


def test_what_takes_too_long_is_ended(
    instead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.2)
    instead("time.sleep(600)")
    with pytest.raises(ArtefactError, match=r"more than 0\.2 seconds"):
        try_apart("keras", Path("model.keras"))


ANSWERS = (
    "sys.stdout.buffer.write(json.dumps({'card': card, 'bytes': 0}).encode() + b'\\n'); out.flush()\n"
    "for line in sys.stdin.buffer:\n"
    "    sys.stdin.buffer.read(json.loads(line)['bytes'])\n"
    "    "
)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.abort()", "ended by SIGABRT"),
        (
            "out.write(json.dumps({'bytes': 8 * 100}).encode() + b'\\n' + bytes(800)); out.flush()",
            "not opened",
        ),
        ("out.write(json.dumps({'bytes': 1}).encode() + b'\\n'); out.flush(); sys.exit()", "exit code 0"),
        (
            'out.write(b\'{"bytes": 0, "refused": "SystemExit", "message": "no such"}\\n\'); out.flush()',
            "no such",
        ),
    ],
)
def test_a_process_that_ends_while_it_answers(instead: Callable[[str], None], code: str, words: str) -> None:
    instead(ANSWERS + code)
    opened = open_apart("keras", Path("model.keras"))
    with pytest.raises(ArtefactError, match=words):
        opened.predict_pixels(np.zeros((1, *made.SHAPE), np.uint8))


def test_an_answer_after_an_interrupted_one_is_its_own(
    instead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(
        ANSWERS
        + "out.write(json.dumps({'bytes': 8}).encode() + b'\\n' + bytes([0, 0, 128, 63, 0, 0, 0, 0])); out.flush()"
    )
    opened = open_apart("keras", Path("model.keras"))
    one = np.zeros((1, *made.SHAPE), np.uint8)
    assert opened.predict_pixels(one).labels == ["class 0"]
    receive = apart.receive

    def interrupted(*arguments: Any) -> Any:
        monkeypatch.setattr(apart, "receive", receive)
        raise KeyboardInterrupt

    monkeypatch.setattr(apart, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened.predict_pixels(one)
    assert opened.predict_pixels(one).labels == ["class 0"]


def test_a_package_that_is_missing_there_is_a_wrong_request(instead: Callable[[str], None]) -> None:
    instead('out.write(b\'{"refused": "RequestError", "message": "pip install it", "bytes": 0}\\n\')')
    with pytest.raises(RequestError, match="pip install it") as refused:
        try_apart("onnx", Path("model.onnx"))
    assert type(refused.value) is RequestError


def limited(code: str, path: Path) -> str:
    """What a program prints whose process has the limits."""
    whole = (
        "import os, resource, sys, signal\nfrom pathlib import Path\nfrom conviction.artefacts import limits\n"
        f"path = Path({str(path)!r})\nlimits.limit_process(path)\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=False)
    return f"{done.stdout.strip()} {done.returncode}"


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits that the system keeps")


@needs_linux
def test_the_process_writes_no_file(tmp_path: Path) -> None:
    assert (
        limited(
            "try: (path.parent / 'new').write_text('x')\nexcept OSError as e: print(e.errno)", tmp_path / "m"
        )
        == "27 0"
    )
    assert (tmp_path / "new").read_text() == ""
    assert limited("print(resource.getrlimit(resource.RLIMIT_CORE)[0])", tmp_path) == "0 0"


@needs_linux
def test_the_process_has_the_memory_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(bytes(1_000_000))
    most = limits.most_bytes(file)
    assert most == limits.LEAST_BYTES + 8_000_000 + limits.BYTES_A_CORE * len(os.sched_getaffinity(0))
    hungry = "try: bytearray(%d); print('had it')\nexcept MemoryError: print('refused')"
    assert limited(hungry % most, file) == "refused 0"
    assert limited(f"limits.relax()\n{hungry % (most + 10)}", file) == "had it 0"


@needs_linux
def test_the_process_has_bounded_time(tmp_path: Path) -> None:
    code = (
        "_, hard = resource.getrlimit(resource.RLIMIT_CPU)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (1, hard))\nwhile True: pass"
    )
    assert limited(code, tmp_path) == f" {-signal.SIGXCPU}"
    assert limited("print(resource.getrlimit(resource.RLIMIT_CPU)[0] > 0)", tmp_path) == "True 0"


def test_a_module_beside_a_model_is_not_imported(cli: Cli, ours: Ours, tmp_path: Path) -> None:
    for name in ("numpy", "json", "onnx", "conviction", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("import pathlib; pathlib.Path('ran').touch()")
    code = f"import sys; sys.path.pop(0); import conviction; conviction.load({str(ours('onnx'))!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", ["saved_model", "keras"])
def test_tensorflow_is_never_imported_here(ours: Ours, form: str) -> None:
    code = (
        "import sys, numpy as np, conviction\n"
        f"opened = conviction.load({str(ours(form))!r})\n"
        "print(opened.predict_pixels(np.zeros((300, *opened.rule.shape), np.uint8)).probabilities.shape)\n"
        "print('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(300, 2)", "False"]


def test_the_process_ends_with_the_model_that_it_answers_for(ours: Ours) -> None:
    opened: Any = load(ours("keras"))
    process = opened.answer.__self__._process
    assert process.poll() is None
    del opened
    assert process.wait(10) == -signal.SIGKILL
