"""A study's folder with a copy at another address: ``s3://bucket/study``, or whatever fsspec knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conviction.audience import option
from conviction.config.text import shortened
from conviction.errors import RequestError, StorageError
from conviction.experiments.exploration import Watch

# Names that start with this are not sent: images that a study shares with processes of this machine.
STAYS = "."


@dataclass
class Mirror:
    """A folder on this machine, and the address of its copy.

    Attributes:
        address: As the user typed it.
        files: The filesystem of fsspec.
        root: The path of the copy in that filesystem.
        path: The folder on this machine.
    """

    address: str
    files: Any
    root: str
    path: Path
    _sent: dict[Path, tuple[int, int]] = field(default_factory=dict, init=False)

    def send(self) -> None:
        """Sends every file that has changed.

        Raises:
            StorageError: The storage refused; everything is still on this machine.
        """
        for name, state in self._states():
            if self._sent.get(name) == state:
                continue
            there = f"{self.root}/{name.as_posix()}"
            try:
                self.files.makedirs(there.rpartition("/")[0], exist_ok=True)
                self.files.put_file(str(self.path / name), there)
            except Exception as failure:  # whatever a driver raises
                raise StorageError(
                    f"{self.address}: {name} could not be written ({_short(failure)}). What is finished is kept in "
                    f"{self.path}; to continue, run the same command with {option('out')} {self.path}."
                ) from None
            self._sent[name] = state

    def know(self) -> None:
        """Marks every file as sent, because the copy has them all."""
        self._sent.update(self._states())

    def _states(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for file in sorted(p for p in self.path.rglob("*") if p.is_file() and not p.is_symlink()):
            name = file.relative_to(self.path)
            if not name.parts[0].startswith(STAYS):
                yield name, (file.stat().st_mtime_ns, file.stat().st_size)


def is_address(out: str | Path | None) -> bool:
    """Whether ``out`` is an address for fsspec."""
    return "://" in str(out)


def fetched(address: str, path: Path) -> Mirror:
    """Copies what is at the address into a new folder on this machine.

    Raises:
        RequestError: The address cannot be read, or fsspec does not know it.
    """
    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(address)
        root = root.rstrip("/")
        if files.exists(root):
            for name in files.find(root):
                _fetch(files, root, name, path)
        else:
            files.makedirs(root, exist_ok=True)
    except Exception as failure:  # whatever a driver raises, or a missing driver
        raise RequestError(f"{option('out')} {address}: cannot be used ({_short(failure)}).") from None
    mirror = Mirror(address, files, root, path)
    mirror.know()
    return mirror


def _fetch(files: Any, root: str, name: str, path: Path) -> None:
    """Copies one file, unless its name leads out of the folder: storage of objects allows any name."""
    parts = name.removeprefix(root).strip("/").split("/")
    if not set(parts).isdisjoint(("", ".", "..")) or any("\\" in part for part in parts):
        raise ValueError(f"it has the name {shortened(name)}, which leads out of a folder")
    target = path.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    files.get_file(name, str(target))


def _short(failure: Exception) -> str:
    return shortened(str(failure)) or type(failure).__name__


@dataclass(frozen=True)
class Sends:
    """Passes everything on to another watch, and sends the folder after each trial."""

    watch: Watch
    mirror: Mirror

    def begin(self, trials: int, done: int) -> None:
        """See ``Watch``."""
        self.watch.begin(trials, done)

    def epoch(self, key: str, label: str, row: Mapping[str, Any]) -> None:
        """See ``Watch``."""
        self.watch.epoch(key, label, row)

    def ended(self, key: str, label: str, outcome: Mapping[str, Any]) -> None:
        """Sends the folder, which has the trial by now."""
        self.watch.ended(key, label, outcome)
        self.mirror.send()

    def close(self) -> None:
        """See ``Watch``."""
        self.watch.close()
