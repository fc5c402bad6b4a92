"""``make bench-fuzz``: random damage to pictures, archives and arrays, against every reader of untrusted bytes.

    python benchmarks/fuzz.py [--minutes 10] [--seed N] [--keep FOLDER]

Every input is made from its number and the seed alone, so that a run can be repeated. Inputs are read in worker
processes of limited memory; one that crashes its worker, takes longer than 20 seconds or raises what no reader may
raise is kept in a folder and named. Ends with exit code 1 if there was any.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import os
import resource
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from conviction.config import DataSpec
from conviction.data import load_source
from conviction.data.decode import DecodingRule, UnreadableImageError, decode, probe
from conviction.errors import ConvictionError
from conviction.runs.environment import peak_memory_bytes
from tests.data import builders
from tests.data.malformed import corpus, good, valid

SECONDS = 20
MEMORY = 4 * 2**30
KINDS = ("picture", "picture", "picture", "zip", "tar", "tar.gz", "tar.xz", "npz", "idx", "idx.gz")


@cache
def seeds(kind: str) -> list[bytes]:
    """What inputs of a kind are made from."""
    if kind == "picture":
        small = [content for content in corpus().values() if len(content) < 20_000]
        return [*list(valid().values()) * 40, *small]
    files = {f"{label}/{i}.png": good(i + 3 * (label == "b")) for label in "ab" for i in range(3)}
    files["a/odd.jpg"], files["b/odd.tif"] = valid()["plain.jpg"], valid()["lzw.tif"]
    x, y = np.arange(6 * 8 * 8, dtype=np.uint8).reshape(6, 8, 8), np.arange(6) % 2
    if kind == "zip":
        return [_zip(files, m) for m in (0, 8, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)]
    if kind.startswith("tar"):
        forms = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
        return [_tar({f"{'deep/' * 30}{n}": c for n, c in files.items()}, kind[4:], form) for form in forms]
    if kind == "npz":
        return [_npz(save, x, y) for save in (np.savez, np.savez_compressed)]
    whole = [builders.idx_bytes(a) for a in (x, y.astype(np.uint8), x.astype(np.float64))]
    return [gzip.compress(w) for w in whole] if kind == "idx.gz" else whole


def _zip(files: dict[str, bytes], method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def _tar(files: dict[str, bytes], packed: str, form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packed}", format=form) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _npz(save: Any, x: np.ndarray, y: np.ndarray) -> bytes:
    out = io.BytesIO()
    save(out, x=x, y=y, class_names=np.array(["a", "b"]))
    return out.getvalue()


def damaged(seed: int, number: int) -> tuple[str, bytes]:
    """Input ``number``: its kind and its bytes."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    known = seeds(kind)
    content = bytearray(known[rng.integers(len(known))])
    for _ in range(int(rng.integers(1, 6))):
        if content:
            content = mutated(content, known, rng)
    if kind == "tar" and rng.random() < 0.5:
        _mend_checksums(content)
    return kind, bytes(content)


def mutated(content: bytearray, known: list[bytes], rng: np.random.Generator) -> bytearray:
    """One change to bytes: bits, extremes, a cut, a repetition, or a piece of another of the ``known``."""
    at, size = int(rng.integers(len(content))), int(rng.integers(1, 65))
    # Headers are short and at the start or the end, so they get more than their share.
    if rng.random() < 0.5:
        at = min(len(content) - 1, int(rng.exponential(40)))
        at = len(content) - 1 - at if rng.random() < 0.3 else at
    choice = int(rng.integers(8))
    if choice <= 1:
        content[at] ^= 1 << int(rng.integers(8))
    elif choice == 2:
        content[at] = int(rng.integers(256))
    elif choice == 3:
        extremes = (
            bytes(4),
            b"\xff" * 4,
            b"\x7f\xff\xff\xff",
            b"\xff\xff\xff\x7f",
            b"\0\0\0\x80",
            b"\0\1",
            b"\xff\xff",
        )
        put = extremes[int(rng.integers(len(extremes)))]
        content[at : at + len(put)] = put
    elif choice == 4:
        del content[at:]
    elif choice == 5:
        del content[at : at + size]
    elif choice == 6:
        content[at:at] = content[at : at + size * 8]
    else:
        other = known[int(rng.integers(len(known)))]
        start = int(rng.integers(max(1, len(other))))
        content[at : at + size] = other[start : start + size]
    return content


def _mend_checksums(content: bytearray) -> None:
    """Otherwise nearly every damaged tar ends at its checksum."""
    for at in range(0, len(content) - 511, 512):
        if content[at + 257 : at + 262] == b"ustar":
            total = sum(content[at : at + 148]) + sum(content[at + 156 : at + 512]) + 8 * 32
            content[at + 148 : at + 156] = b"%06o\0 " % total


# The worker.

RULES = [DecodingRule(color_mode=m, height=32, width=32) for m in ("rgb", "grayscale")]  # type: ignore[arg-type]


def read(kind: str, content: bytes, room: Path) -> str:
    """The outcome of an input; an exception that no reader may raise is passed on."""
    if kind == "picture":
        return _read_picture(content)
    try:
        if kind.startswith("idx"):
            place = room / "idx"
            place.mkdir(exist_ok=True)
            end = kind[3:]
            (place / f"train-images-idx3-ubyte{end}").write_bytes(content)
            labels = builders.idx_bytes((np.arange(6) % 2).astype(np.uint8))
            (place / f"train-labels-idx1-ubyte{end}").write_bytes(gzip.compress(labels) if end else labels)
        else:
            place = room / f"a.{kind}"
            place.write_bytes(content)
        images = load_source(place, DataSpec(image_size=(32, 32)))
    except ConvictionError as failure:
        _check_words(str(failure))
        return f"{kind}: {type(failure).__name__}"
    assert images.pixels.shape[1:3] == (32, 32)
    return f"{kind}: read" + (", but for some files" if images.unreadable else "")


def _check_words(reason: str) -> None:
    assert reason.strip(), "no reason"
    assert "\n" not in reason, "a reason of several lines"


def _read_picture(content: bytes) -> str:
    try:
        probe(content)
        for rule in RULES:
            array = decode(content, rule)
            assert array.shape == rule.shape
            assert array.dtype == np.uint8
    except UnreadableImageError as failure:
        _check_words(str(failure))
        return f"picture: {str(failure).split('(')[0].strip().rstrip('0123456789x,. ')[:50]}"
    return "picture: read"


def work(seed: int, start: int, step: int, pipe: Connection, log: str) -> None:
    """Reads every ``step``-th input from ``start``; prints before each what it is, and after each its outcome."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)  # libtiff writes there
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CONVICTION_CACHE"] = f"{folder}/cache"
        for number in range(start, 2**60, step):
            kind, content = damaged(seed, number)
            pipe.send((number, None))
            try:
                result, failure = read(kind, content, Path(folder)), ""
            except Exception:
                result, failure = f"{kind}: WRONG EXCEPTION", traceback.format_exc()
            pipe.send((number, (result, failure)))
            peak = peak_memory_bytes()
            if number % (step * 500) < step:
                os.ftruncate(2, 0)
            if peak > MEMORY // 2:
                pipe.send((number, (f"{kind}: OVER MEMORY", f"{peak // 2**20} MiB")))
                return


class Lane:
    """Runs one worker after another, over every ``step``-th input."""

    def __init__(self, seed: int, start: int, step: int, log: str) -> None:
        self.arguments, self.step, self.log = (seed, step), step, log
        self.process: BaseProcess | None = None
        self.number = start - step
        self.start(start)

    def start(self, at: int) -> None:
        """Starts a worker at input ``at``."""
        seed, step = self.arguments
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(seed, at, step, theirs, self.log), daemon=True)
        self.process.start()
        theirs.close()
        self.began: float | None = None

    def stop(self) -> int | None:
        """Ends the worker; returns its exit code."""
        assert self.process is not None
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        return code

    def step_once(self) -> tuple[int, str, str] | None:
        """The next outcome: (number, result, failure); None if there is none yet."""
        try:
            if not self.pipe.poll(0.2):
                if self.began is not None and time.monotonic() - self.began > SECONDS:
                    self.stop()
                    return self._again("HANG", f"longer than {SECONDS} s")
                return None
            number, outcome = self.pipe.recv()
        except EOFError:
            assert self.process is not None
            self.process.join(5)
            return self._again(
                "CRASH", f"exit code {self.stop()}\n{Path(self.log).read_text(errors='replace')[-3000:]}"
            )
        self.number = number
        if outcome is None:
            self.began = time.monotonic()
            return None
        self.began = None
        return (number, *outcome)

    def _again(self, what: str, why: str) -> tuple[int, str, str]:
        number = self.number
        self.start(number + self.step)
        return number, f"{KINDS[number % len(KINDS)]}: {what}", why


def run(seed: int, minutes: float, keep: Path, lanes: int) -> int:
    """Fuzzes until the time is over; returns how many inputs failed."""
    found: Counter[str] = Counter()
    failed: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        workers = [Lane(seed, i, lanes, f"{folder}/{i}.txt") for i in range(lanes)]
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            for lane in workers:
                outcome = lane.step_once()
                if outcome is None:
                    continue
                number, result, failure = outcome
                found[result] += 1
                if failure:
                    _keep(keep, seed, number, result, failure, failed=failed)
        for lane in workers:
            lane.stop()
    for result, count in sorted(found.items()):
        print(f"{count:9,}  {result}")
    crashes, hangs = (sum(n for r, n in found.items() if r.endswith(w)) for w in ("CRASH", "HANG"))
    others = sum(n for r, n in found.items() if r.split(": ")[1][:5] in ("WRONG", "OVER "))
    print(f"executions {sum(found.values()):,}; distinct outcomes {len(found)}; crashes {crashes}; hangs {hangs}; "
          f"wrong exceptions or too much memory {others}")  # fmt: skip
    return crashes + hangs + others


def _keep(keep: Path, seed: int, number: int, result: str, failure: str, *, failed: dict[str, int]) -> None:
    last = f"{result} {failure.strip().splitlines()[-1]}"
    failed[last] = failed.get(last, 0) + 1
    if failed[last] > 3:  # the same again
        return
    kind, content = damaged(seed, number)
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{seed}-{number}.{kind}"
    path.write_bytes(content)
    path.with_name(path.name + ".txt").write_text(failure)
    print(f"{result}, input {number}, kept as {path}\n{failure}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "conviction-fuzz")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1)))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.minutes:g} minutes, {chosen.workers} workers", flush=True)
    sys.exit(1 if run(chosen.seed, chosen.minutes, chosen.keep, chosen.workers) else 0)


if __name__ == "__main__":
    main()
