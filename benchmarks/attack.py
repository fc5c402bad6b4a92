"""``make bench-attack``: what an enemy may send, by kind: how many were tried, and how many came out right.

    python benchmarks/attack.py [--minutes 20] [--seed N] [--keep FOLDER] [--random]

First all of ``tests/hostile``, in the table that docs/measurements.md has. Then random damage to what others send,
for the minutes: model files whose hashes are made right again, so that the damage gets as far as it can, run folders
and studies. Each is given to the command that a user would type. Right is one that ends in time with an answer or with
one line of ours, and changes nothing outside. Every input is made from its number and the seed alone; what came out
wrong is kept. Ends with exit code 1 if anything did.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fuzz import mutated
from tests.conftest import Result, artefact, run_cli
from tests.hostile import models as made
from tests.hostile.conftest import SMALL
from tests.hostile.test_folders import EXPLORE
from tests.hostile.test_folders import SMALL as KEYS
from tests.hostile.test_unlucky import pictures

ROOT = Path(__file__).resolve().parents[1]
# An undamaged file takes a fifth of this.
SECONDS = 60
FORMATS = ("keras", "onnx", "litert", "saved_model")
KINDS = (*FORMATS, *FORMATS, "run folder", "study")
# The commands that read a run folder.
READERS = (
    ["report", "run"],
    ["evaluate", "run"],
    ["runs", "."],
    ["predict", "run", "pictures"],
    ["resume", "run", "training.epochs=3"],
    ["export", "run", "--format", "script,keras"],
)


# The cases of tests/hostile.


def whole_suite(folder: Path) -> bool:
    """Runs them, and prints how many there are of each kind; whether all passed."""
    report = folder / "hostile.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", "tests/hostile"]
    ended = subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, check=False)
    tried: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for case in ET.parse(report).getroot().iter("testcase"):
        if case.find("skipped") is None:
            kind = case.get("classname", "").rpartition(".")[2]
            tried[kind] += 1
            right[kind] += case.find("failure") is None and case.find("error") is None
    print("| kind | tried | right |\n|---|---|---|")
    for kind in sorted(tried):
        content = (ROOT / "tests" / "hostile" / f"{kind}.py").read_text()
        title = content.split('"""')[1].split("\n")[0].rstrip(".")
        print(f"| {title} | {tried[kind]} | {right[kind]} |")
    print(f"| all | {sum(tried.values())} | {sum(right.values())} |", flush=True)
    return ended.returncode == 0


# Random damage.


@dataclass(frozen=True)
class Seeds:
    """What inputs are made from: exports, a run folder, a study and pictures, all of them sound."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Seeds:
        """Makes them with our own commands."""
        pictures(folder / "pictures")
        for words in (["fit", "pictures", *KEYS, "--out", "run"], EXPLORE):
            done = run_cli(*words, cwd=folder, home=folder / "home")
            assert done.code == 0, done.err
        for form in FORMATS:
            made.export(form, folder / form, SMALL)
        return cls(folder)

    def model(self, form: str) -> Path:
        """The export of a format."""
        return artefact(self.folder / form, form)


def some(content: bytes, known: list[bytes], rng: np.random.Generator) -> bytes:
    """A few changes."""
    out = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if out:
            out = mutated(out, known, rng)
    return bytes(out)


def damaged_model(seeds: Seeds, form: str, at: Path, rng: np.random.Generator) -> Path:
    """A model file with random damage, behind its hashes and its packing."""
    whole, path = seeds.model(form), at / seeds.model(form).name
    if form == "keras":
        with zipfile.ZipFile(whole) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = str(rng.choice(sorted(members)))
        members[name] = some(members[name], list(members.values()), rng)
        with zipfile.ZipFile(path, "w") as archive:
            for one, content in members.items():
                archive.writestr(one, content)
    elif form == "onnx":
        path.write_bytes(some(whole.read_bytes(), [whole.read_bytes()], rng))
    elif form == "litert":
        with zipfile.ZipFile(whole) as archive:
            about = json.loads(archive.read(made.LITERT_CARD))
        content = whole.read_bytes()[: about["model"]["bytes"]]
        made.litert_file(some(content, [content], rng), path, about["card"])
    else:
        shutil.copytree(whole, path)
        _damage_a_file(path, rng)
        # Not where it is the file with the hashes that is damaged.
        with suppress(ValueError, OSError, KeyError, TypeError, AttributeError):
            made.hashed(path)
    return path


def _damage_a_file(folder: Path, rng: np.random.Generator) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    file = files[int(rng.integers(len(files)))]
    content = file.read_bytes()
    file.write_bytes(_other_value(content, rng) if rng.random() < 0.4 else some(content, [content], rng))


def _other_value(content: bytes, rng: np.random.Generator) -> bytes:
    """A text with one of its numbers, words or texts replaced; what is no text is changed as bytes."""
    values = list(re.finditer(rb'"[^"\n]*"|-?\d+(?:\.\d+)?|true|false|null', content))
    if b"\0" in content or not values:
        return some(content, [content], rng)
    one = values[int(rng.integers(len(values)))]
    others = [
        b"-1",
        b"0",
        b"1e308",
        b"99999999999999999999",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'"../../x"',
        b"NaN",
    ]
    return content[: one.start()] + others[int(rng.integers(len(others)))] + content[one.end() :]


def attack(seeds: Seeds, kind: str, at: Path, rng: np.random.Generator) -> list[str]:
    """Makes an input in a folder; returns the command line that reads it."""
    (at / "pictures").symlink_to(seeds.folder / "pictures")
    if kind in FORMATS:
        return ["predict", str(damaged_model(seeds, kind, at, rng)), "pictures"]
    name = "run" if kind == "run folder" else "study"
    shutil.copytree(seeds.folder / name, at / name)
    _damage_a_file(at / name, rng)
    return READERS[int(rng.integers(len(READERS)))] if kind == "run folder" else EXPLORE


def problem(result: Result, seconds: float) -> str:
    """What was wrong with how a command ended; nothing if all was right."""
    ours = [line for line in result.err.splitlines() if line.startswith("conviction: ")]
    if result.code not in (0, 1, 2):
        return f"ended with {result.code}"
    if "Traceback" in result.err:
        return "a traceback"
    if result.code and len(ours) != 1:
        return f"{len(ours)} lines of ours"
    return f"took {seconds:.0f} s" if seconds > SECONDS else ""


def content_of(folder: Path) -> dict[str, int]:
    """What must stay as it is: each file and when it was changed."""
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*")}


def at_random(seeds: Seeds, work: Path, keep: Path, *, seed: int, minutes: float) -> bool:
    """Damages and reads until the time is over; whether all came out right."""
    tried: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    before = content_of(seeds.folder)
    end, number = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < end:
        kind = KINDS[number % len(KINDS)]
        at = work / "at"
        at.mkdir()
        words = attack(seeds, kind, at, np.random.default_rng([seed, number]))
        began = time.monotonic()
        result = run_cli(*words, cwd=at, home=work / "home")
        fault = problem(result, time.monotonic() - began)
        if content_of(seeds.folder) != before:
            fault, before = "something outside was changed", content_of(seeds.folder)
        tried[kind] += 1
        outcomes[f"{kind}: {'read' if result.code == 0 else 'refused'}"] += not fault
        if fault:
            wrong[kind] += 1
            shutil.copytree(at, keep / str(number), symlinks=True, dirs_exist_ok=True)
            print(f"{kind}, input {number}, {words}: {fault}\n{result.err[-2000:]}", flush=True)
        shutil.rmtree(at)
        number += 1
    print(f"seed {seed}: " + ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items())))
    print("| kind, with random damage | tried | right |\n|---|---|---|")
    for kind in dict.fromkeys(KINDS):
        print(f"| {kind} | {tried[kind]} | {tried[kind] - wrong[kind]} |")
    return not wrong


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20, help="of random damage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "conviction-attacked",
        help="where failures are kept",
    )
    parser.add_argument("--random", action="store_true", help="random damage alone")
    chosen = parser.parse_args()
    parts: list[Callable[[Path], bool]] = [] if chosen.random else [whole_suite]
    parts.append(
        lambda work: at_random(
            Seeds.make(work / "seeds"), work, chosen.keep, seed=chosen.seed, minutes=chosen.minutes
        )
    )
    right = []
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="bench-attack-") as folder:
            os.environ["CONVICTION_CACHE"] = f"{folder}/cache"
            (Path(folder) / "seeds").mkdir()
            right.append(part(Path(folder)))
    sys.exit(0 if all(right) else 1)


if __name__ == "__main__":
    main()
