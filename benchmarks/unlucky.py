"""``make bench-unlucky``: misfortune at random moments, over and over, for half an hour.

    python benchmarks/unlucky.py [--minutes 30] [--seed N] [--keep FOLDER]

A command is disturbed on a small disk of its own that holds its images, its results, the cache and the ledger. Then
the cause is taken away and the command is given again, until nothing is left to do. What must hold:

- it ended as it was made to, or with one line that begins with ``conviction: `` and no traceback;
- given again, it succeeds, and the result is that of a command which nobody disturbed, to the bit;
- no file is left over, and none is missing;
- the ledger can be read, and the test set was opened no more often than commands were given.

Ends with exit code 1 if one of these did not hold; the disk's content is then kept. Needs Linux, root for the small
disk, and the package ``faketime`` for the clock; what is missing is left out, and named. Copy what it prints, with the
command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cli.kills import KEYS, fingerprint
from tests.hostile.test_unlucky import pictures

PROGRAM = [sys.executable, "-m", "conviction"]
SMALL = ["recipe=lab", "model.filters=[4]", "model.dense=[8]", "training.epochs=2"]
VARIED = ["--vary", "model.filters=[4],[6]"]
DISK_BYTES = 40 * 2**20
# No command takes a tenth of this on a machine that does nothing else.
PATIENCE = 600
# Nobody may read everything, because Python itself may lie in root's home.
AS_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)
CLOCK = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@dataclass(frozen=True)
class Command:
    """What is disturbed.

    Attributes:
        words: The command line.
        result: The file or folder that it makes.
        content: Of the result, what must not depend on any misfortune.
        opens: How often the test set is opened each time it is given.
        resumed: Whether ``resume`` goes on with it once it has begun.
    """

    words: Sequence[str]
    result: str
    content: Callable[[Path], Any]
    opens: int = 0
    resumed: bool = False


def without_seconds(value: Any) -> Any:
    """A result without how long anything took."""
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if "seconds" not in k}
    if isinstance(value, list):
        return [without_seconds(v) for v in value]
    return value.split(" times the time")[0].rpartition(",")[0] if _names_time(value) else value


def _names_time(value: Any) -> bool:
    return isinstance(value, str) and " times the time" in value


def study(path: Path) -> Any:
    """The results of an exploration or a search."""
    return without_seconds(json.loads((path / "result.json").read_text()))


def exports(path: Path) -> dict[str, str]:
    """The program, and that the others are there."""
    return {
        p.name: p.read_text() if p.suffix == ".py" else "" for p in path.rglob("*") if p.parts[-1][0] != "."
    }


COMMANDS = {
    "fit": Command(["fit", "pictures", *KEYS, "--out", "run"], "run", fingerprint, 1, True),
    "explore": Command(
        ["explore", "pictures", *SMALL, *VARIED, "--seeds", "1", "--jobs", "1", "--out", "explored"],
        "explored",
        study,
    ),
    "tune": Command(
        ["tune", "pictures", *SMALL, "--trials", "2", "--confirm", "1", "--jobs", "1", "--out", "tuned"],
        "tuned",
        study,
        1,
    ),
    "export": Command(["export", "made", "--format", "keras,litert,script"], "made/exports", exports),
    "inspect": Command(["inspect", "pictures", "--html", "audit.html"], "audit.html", Path.read_text),
}


@dataclass
class Disturbed:
    """A command that runs on a disk, for a misfortune to happen to.

    Attributes:
        disk: The folder in which it works.
        words: The command line.
        seconds: How long it takes undisturbed.
        rng: Chooses the moment, and how bad it is.
    """

    disk: Path
    words: Sequence[str]
    seconds: float
    rng: random.Random

    def start(
        self, before: Callable[[], None] | None = None, by: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[str]:
        """Starts it in a process group of its own, through another command if there is one in ``by``."""
        return subprocess.Popen(
            [*by, *PROGRAM, *self.words],
            cwd=self.disk,
            env=environment(self.disk, **env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=before,  # noqa: PLW1509  one thread
        )

    def moment(self, process: subprocess.Popen[str]) -> None:
        """Waits for a random moment of its life."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(self.rng.uniform(0.1, 1.05) * self.seconds)


def environment(disk: Path, **more: str) -> dict[str, str]:
    """Everything that a command writes goes to the disk."""
    temporary = disk / "temporary"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONVICTION_", "PYTHONDONT"))}
    own = {"CONVICTION_HOME": f"{disk}/home", "CONVICTION_CACHE": f"{disk}/cache", "TMPDIR": str(temporary)}
    return {**clean, **own, "HOME": str(disk), "TF_CPP_MIN_LOG_LEVEL": "3", **more}


# What happens: returns the exit code and the error text of every command that ran. The codes that are right beside 0
# stand in ``RIGHT``.
Outcome = list[tuple[int, str]]


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, text = process.communicate(timeout=PATIENCE)
    return process.returncode, text


def signalled(number: signal.Signals) -> Callable[[Disturbed], Outcome]:
    """A signal, to the command and what it has started."""

    def happen(one: Disturbed) -> Outcome:
        process = one.start()
        one.moment(process)
        if process.poll() is None:
            os.killpg(process.pid, number)
        return [_end(process)]

    return happen


def paused(one: Disturbed) -> Outcome:
    """It is stopped, and goes on later."""
    process = one.start()
    one.moment(process)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(one.rng.uniform(0.1, 4))
        os.killpg(process.pid, signal.SIGCONT)
    return [_end(process)]


def full(one: Disturbed) -> Outcome:
    """Something else fills the disk, at the beginning or in between."""
    process = one.start()
    one.moment(process)
    large = one.disk / "large"
    room = one.rng.choice([0, 4096, 20_000, 200_000])
    with large.open("wb") as file:
        free = os.statvfs(one.disk)
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
    try:
        return [_end(process)]
    finally:
        large.unlink()


def read_only(one: Disturbed) -> Outcome:
    """The disk can only be read."""
    subprocess.run(["mount", "-o", "remount,ro", str(one.disk)], check=True)
    try:
        return [_end(one.start())]
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(one.disk)], check=True)


def forbidden(one: Disturbed) -> Outcome:
    """Somebody runs it who may not write there."""
    return [_end(one.start(by=AS_NOBODY))]


def twice(one: Disturbed) -> Outcome:
    """The same command is given again while it runs."""
    first = one.start()
    one.moment(first)
    second = one.start()
    return [_end(first), _end(second)]


def clock(one: Disturbed) -> Outcome:
    """The clock goes back, or far ahead, while it runs."""
    offset = one.disk / "clock"
    offset.write_text("+0")
    process = one.start(
        LD_PRELOAD=str(CLOCK),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    one.moment(process)
    offset.write_text(one.rng.choice(["-1h", "-400d", "-20y", "+3d", "+5y"]))
    ended = _end(process)
    offset.unlink()
    return [ended]


def memory(one: Disturbed) -> Outcome:
    """It may have little memory."""
    most = int(one.rng.uniform(0.5, 6) * 2**30)
    return [_end(one.start(lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))))]


def handles(one: Disturbed) -> Outcome:
    """It may open few files at once."""
    most = one.rng.choice([12, 16, 20, 24, 32, 48, 64])
    return [_end(one.start(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))))]


EVENTS: dict[str, Callable[[Disturbed], Outcome]] = {
    "killed": signalled(signal.SIGKILL),
    "terminated": signalled(signal.SIGTERM),
    "interrupted": signalled(signal.SIGINT),
    "paused": paused,
    "disk full": full,
    "disk read-only": read_only,
    "no permission": forbidden,
    "two at once": twice,
    "clock": clock,
    "little memory": memory,
    "few files": handles,
}
# The codes that are right beside 0, 1 and 2: a signal's, and those of a library that finds no memory.
RIGHT = {
    "killed": {-signal.SIGKILL},
    "terminated": {143, -signal.SIGTERM},
    "interrupted": {130, -signal.SIGINT},
    "little memory": {-signal.SIGABRT, -signal.SIGSEGV, 127, 134, 139},
}
# There, Python itself may not start, or a library of ours end the process.
WITHOUT_WORDS = {"killed", "terminated", "interrupted", "little memory", "few files"}


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk that can be filled."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def names(result: Path) -> set[str]:
    """The files of a result; one file is itself."""
    return {str(p.relative_to(result)) for p in result.rglob("*")} if result.is_dir() else {"."}


def go_on(one: Disturbed, command: Command) -> str:
    """Gives the command again; returns what was wrong, or nothing."""
    run = one.disk / command.result
    begun = command.resumed and all((run / name).is_file() for name in ("config.yaml", "data.json"))
    words = ["resume", command.result] if begun else command.words
    again = Disturbed(one.disk, words, one.seconds, one.rng).start()
    code, text = _end(again)
    done = begun and "the run is done" in text
    return "" if code == 0 or done else f"given again, it ended with {code}: {text[-600:]}"


def wrong(event: str, outcome: Outcome) -> str:
    """What was wrong with how the commands ended; nothing if all was right."""
    for code, text in outcome:
        if code not in {0, 1, 2} | RIGHT.get(event, set()):
            return f"ended with {code}: {text[-600:]}"
        if "Traceback" in text and event not in ("little memory", "few files"):
            return f"ended with a traceback: {text[-1500:]}"
        if code in (1, 2) and event not in WITHOUT_WORDS and "conviction: " not in text:
            return f"ended with {code} and no line of ours: {text[-600:]}"
    return ""


def openings(disk: Path) -> int:
    """How often a test set was opened, by the ledger."""
    ledger = disk / "home" / "openings.jsonl"
    return len([json.loads(line) for line in ledger.read_text().splitlines()]) if ledger.is_file() else 0


class World:
    """The commands, how long they take and what they make when nothing happens."""

    def __init__(self, work: Path, chosen: Sequence[str]) -> None:
        self.work = work
        self.seconds: dict[str, float] = {}
        self.right: dict[str, tuple[Any, set[str]]] = {}
        self.made = work / "made"
        home = work / "whole"
        self.prepare(home)
        subprocess.run(
            [*PROGRAM, "fit", "pictures", *SMALL, "--out", "made"],
            cwd=home,
            env=environment(home),
            check=True,
            capture_output=True,
        )
        shutil.copytree(home / "made", self.made)
        for name in chosen:
            command = COMMANDS[name]
            one = Disturbed(home, command.words, 0, random.Random(0))
            began = time.perf_counter()
            code, text = _end(one.start())
            assert code == 0, text
            self.seconds[name] = time.perf_counter() - began
            result = home / command.result
            self.right[name] = (command.content(result), names(result))

    def prepare(self, disk: Path) -> None:
        """What a command finds there."""
        disk.mkdir(exist_ok=True)
        (disk / "temporary").mkdir()
        pictures(disk / "pictures")
        if self.made.is_dir():
            shutil.copytree(self.made, disk / "made")

    def try_one(self, name: str, event: str, rng: random.Random, disk: Path) -> str:
        """Disturbs a command once; returns what did not hold, or nothing."""
        command = COMMANDS[name]
        self.prepare(disk)
        one = Disturbed(disk, command.words, self.seconds[name], rng)
        outcome = EVENTS[event](one)
        problem = wrong(event, outcome) or go_on(one, command)
        if problem:
            return problem
        result = disk / command.result
        content, files = self.right[name]
        if command.content(result) != content:
            return "the result is another one"
        if names(result) != files:
            return f"files left over or missing: {sorted(names(result) ^ files)[:8]}"
        given = len(outcome) + 1
        if openings(disk) > given * command.opens:
            return f"the test set was opened {openings(disk)} times by {given} commands"
        return ""


def possible() -> list[str]:
    """The events that can be made to happen here; says which cannot."""
    events = list(EVENTS)
    if not CLOCK.is_file():
        print("left out, because libfaketime is not installed: clock")
        events.remove("clock")
    return events


def main() -> None:
    """Disturbs until the time is over, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "conviction-unlucky",
        help="where failures are kept",
    )
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--event", choices=EVENTS, action="append")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench-unlucky mounts a small disk, which needs root.")
    tried: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    commands, events = chosen.command or list(COMMANDS), chosen.event or possible()
    pairs = [(name, event) for name in commands for event in events]
    rng = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="bench-unlucky-") as folder:
        world = World(Path(folder), commands)
        end = time.monotonic() + 60 * chosen.minutes
        number = 0
        while time.monotonic() < end:
            if not number % len(pairs):
                rng.shuffle(pairs)
            name, event = pairs[number % len(pairs)]
            number += 1
            with small_disk(Path(folder, f"disk-{number}")) as disk:
                seed = rng.getrandbits(32)
                problem = world.try_one(name, event, random.Random(seed), disk)
                tried[event, name] += 1
                if problem:
                    failed[event, name] += 1
                    kept = chosen.keep / f"{number}-{name}-{event.replace(' ', '-')}"
                    shutil.copytree(disk, kept, symlinks=True, dirs_exist_ok=True)
                    print(f"{name}, {event}: {problem}\n  kept in {kept}", flush=True)
    print("| event | " + " | ".join(commands) + " |")
    print("|---" * (len(commands) + 1) + "|")
    for event in events:
        cells = [f"{tried[event, c] - failed[event, c]} of {tried[event, c]}" for c in commands]
        print(f"| {event} | " + " | ".join(cells) + " |")
    print(f"{sum(tried.values()) - sum(failed.values())} of {sum(tried.values())} right, seed {chosen.seed}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
