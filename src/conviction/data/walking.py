"""Every folder below a folder, once: linked ones are followed, and a loop of links ends."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from conviction.data.unused import PassedOver
from conviction.errors import SourceError

_Identity = tuple[int, int]


def walk_folders(root: Path, passed: list[PassedOver]) -> Iterator[tuple[str, list[str]]]:
    """(path below ``root`` or "", names of files) for every folder.

    A folder that several links lead to is read once, under its own name if it lies in ``root``: read twice, its
    pictures would be copies of one another, perhaps under two classes. What is not followed is added to ``passed``.

    Raises:
        SourceError: A folder cannot be read.
    """
    # A link to a folder above would lead to everything beside this one.
    seen = {_identity(folder) for folder in Path(os.path.realpath(root)).parents}
    waiting: deque[str] = deque([""])
    while waiting:
        start = waiting.popleft()
        if start and _identity(os.path.join(root, start)) in seen:
            passed.append(("repeated_folder", start))
            continue
        links = []
        for folder, subfolders, files in os.walk(os.path.join(root, start), onerror=_unreadable):
            seen.add(_identity(folder))
            inside = Path(folder).relative_to(root).as_posix()
            inside = "" if inside == "." else inside + "/"
            yield inside.rstrip("/"), sorted(files)
            subfolders.sort()
            links += [inside + name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        # After everything that is stored here itself, so that a link never takes the place of the folder it leads to.
        waiting.extend(sorted(links))


def _identity(folder: str | Path) -> _Identity:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _unreadable(failure: OSError) -> None:
    raise SourceError(f"{failure.filename}: cannot read this folder ({failure.strerror}).")
