"""Limits of the process in which a model file is opened that may come from anyone."""

from __future__ import annotations

import contextlib
from itertools import chain, islice
from pathlib import Path
from types import ModuleType

from conviction.artefacts.bounds import MOST_FILE_BYTES
from conviction.backend import usable_cores

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

# What TensorFlow takes before it reads anything, and what the largest layer of one picture may take.
LEAST_BYTES = 4 * 2**30
# Weights are held up to five times while they are converted. A protobuf of nothing but empty parts takes eighty times
# its bytes, and is ended by this limit if it is large.
BYTES_A_BYTE = 8
# The stack of a thread and its share of the allocator; runtimes start several threads a core.
BYTES_A_CORE = 128 * 2**20
# Opening takes seconds; minutes on a machine that is busy with other things.
CPU_SECONDS, SECONDS = 240, 300


def limit_process(path: Path) -> None:
    """From here on this process writes no file, leaves no core, and has bounded memory and processor time.

    What is not known to a system is left out: Windows has none of these limits, and macOS does not count memory.

    Args:
        path: The model file, or a folder whose files count together.
    """
    # If memory runs out for all, this process goes first.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if resource is None:
        return
    for name, most in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CPU", CPU_SECONDS * usable_cores()),
        ("RLIMIT_DATA", most_bytes(path)),
    ):
        with contextlib.suppress(OSError, ValueError):
            kind = getattr(resource, name)
            _, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def relax() -> None:
    """Lifts what belongs to opening alone: memory and time. Many pictures may take more of both."""
    if resource is None:
        return
    for kind in (resource.RLIMIT_CPU, resource.RLIMIT_DATA):
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (hard, hard))


def most_bytes(path: Path) -> int:
    """The memory that opening may take, from the size of the file; of a folder, from that of its files."""
    files = chain([path], path.glob("*"), path.glob("variables/*"))
    size = 0
    with contextlib.suppress(OSError):
        for file in islice(files, 100):
            size += file.stat().st_size
    return LEAST_BYTES + BYTES_A_BYTE * min(size, MOST_FILE_BYTES) + BYTES_A_CORE * usable_cores()
