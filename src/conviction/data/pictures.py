"""From files to decoded pixels in one pass: read, hash, look at the header, decode, write; on every core.

Processes, not threads: small pictures spend most of their time in Python, which runs one thread at a time. Each
process writes the rows that it has decoded, because handing them over would take as long as decoding them.
"""

from __future__ import annotations

import math
import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from conviction.backend import children_without_ctrl_c, usable_cores
from conviction.data.cache import Rows
from conviction.data.decode import Probe, UnreadableImageError, probe_and_decode
from conviction.data.image_set import HASH_BYTES, content_hash
from conviction.data.rule import DecodingRule
from conviction.data.tree import MAX_FILE_BYTES, ContentLocation, Tree, UnreadableFileError, fetch

# Files for one task: enough that handing it over costs little, few enough that progress is even.
CHUNK_FILES = 256
CHUNK_BYTES = 8 * 2**20
CHUNK_PIXELS = 64 * 2**20
# Starting processes takes half a second, in which one process decodes about this much.
FEW_FILES = 2000
FEW_BYTES = 64 * 2**20
# Tasks that wait for each process besides this one.
AHEAD = 2
# The side of the small copies in which near-duplicates are looked for.
THUMB = 32


@dataclass(frozen=True)
class Survey:
    """What is known of each file without its pixels, one row per file; rows with a problem hold zeros.

    Attributes:
        hashes: (n,) 16 bytes, the content.
        probes: The header of each, None where there is a problem.
        problems: Why, by row.
    """

    hashes: np.ndarray
    probes: list[Probe | None]
    problems: dict[int, str]


@dataclass
class Chunk:
    """What one task returns: files in order, from row ``start`` on, and what became of those that were decoded.

    Attributes:
        start: The row of the first file.
        hashes: 16 bytes for each file, its content.
        probes: The header of each file, None where there is a problem.
        problems: Why, or "", for each file.
        pixels: (kept, h, w, c), the decoded ones without gaps; None if they were written.
        thumbs: (kept, 32, 32, 3), None if they were written.
        pixel_hashes: 16 bytes for each decoded one.
        thumb_sums: The CRC-32 of each thumb.
    """

    start: int
    hashes: bytes = b""
    probes: list[Probe | None] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    pixels: np.ndarray | None = None
    thumbs: np.ndarray | None = None
    pixel_hashes: bytes = b""
    thumb_sums: list[int] = field(default_factory=list)


def thumb_rule(rule: DecodingRule) -> DecodingRule:
    """How the small copy of a picture is made, whatever size and mode the network gets."""
    # Whether any picture has colours is known only after all were read; three channels hold both.
    # It is the same for rules of earlier versions, so that the data of an old run splits as it did. And it is always
    # stretched: copies are looked for in whole pictures.
    return DecodingRule(height=THUMB, width=THUMB, color_mode="rgb", file_range=rule.deep_range)


def read_chunk(
    start: int, locations: Sequence[ContentLocation], rule: DecodingRule, rows: Rows | None
) -> Chunk:
    """Reads, hashes, probes and decodes some files, and writes their pixels to ``rows`` if given.

    Raises:
        OSError: They cannot be written.
    """
    out = Chunk(start)
    rules = [rule] if rule == thumb_rule(rule) else [rule, thumb_rule(rule)]
    arrays = [np.empty((len(locations), *r.shape), np.uint8) for r in rules]
    hashes: list[bytes] = []
    pixel_hashes: list[bytes] = []
    same: dict[Probe, Probe] = {}  # equal ones are passed on once
    for location in locations:
        header, problem, identity = None, "", bytes(HASH_BYTES)
        try:
            content = fetch(location)
            identity = content_hash(content)
            header, decoded = probe_and_decode(content, rules)
            for array, row in zip(arrays, decoded, strict=True):
                array[len(pixel_hashes)] = row
            pixel_hashes.append(content_hash(decoded[0].tobytes()))
            out.thumb_sums.append(zlib.crc32(decoded[-1].tobytes()))
        except (UnreadableFileError, UnreadableImageError) as failure:
            problem = str(failure)
        hashes.append(identity)
        out.probes.append(header and same.setdefault(header, header))
        out.problems.append(problem)
    out.hashes, out.pixel_hashes = b"".join(hashes), b"".join(pixel_hashes)
    pixels, thumbs = (array[: len(pixel_hashes)] for array in (arrays[0], arrays[-1]))
    if rows is None:
        out.pixels, out.thumbs = pixels, thumbs
    else:
        rows.write(start, pixels, thumbs)
    return out


def read_pictures(tree: Tree, names: Sequence[str], rule: DecodingRule, rows: Rows | None) -> list[Chunk]:
    """The chunks of all files, in order. Their pixels are in memory only if there are no ``rows`` to write to.

    Raises:
        OSError: They cannot be written.
    """
    tasks = (
        (start, locations, rule, rows) for start, locations in _tasks(tree, names, math.prod(rule.shape))
    )
    # What a member of an archive declares can be anything; what is too large is never read.
    total = sum(s for n in names if 0 < (s := tree.sizes.get(n, 0)) <= MAX_FILE_BYTES)
    cores = usable_cores()
    few = len(names) < FEW_FILES and total < FEW_BYTES
    if cores == 1 or few or multiprocessing.current_process().daemon:  # which may not start others
        return [read_chunk(*task) for task in tasks]
    return sorted(_on_all_cores(tasks, cores), key=lambda chunk: chunk.start)


_Task = tuple[int, list[ContentLocation], DecodingRule, Rows | None]


def _on_all_cores(tasks: Iterator[_Task], cores: int) -> Iterator[Chunk]:
    """This process reads too, while the others start and whenever they have enough to do."""
    from joblib.externals.loky import get_reusable_executor

    others = get_reusable_executor(max_workers=cores - 1)
    waiting: list[Future[Chunk]] = []
    try:
        for task in tasks:
            done = [w for w in waiting if w.done()]
            waiting = [w for w in waiting if w not in done]
            yield from (w.result() for w in done)
            if len(waiting) < AHEAD * (cores - 1):
                with children_without_ctrl_c():
                    waiting.append(others.submit(read_chunk, *task))
            else:
                yield read_chunk(*task)
        yield from (w.result() for w in waiting)
    finally:
        # They would wait for more work for minutes and keep their memory.
        others.shutdown(wait=True, kill_workers=True)


def _tasks(tree: Tree, names: Sequence[str], row_bytes: int) -> Iterator[tuple[int, list[ContentLocation]]]:
    task: list[ContentLocation] = []
    most = min(CHUNK_FILES, max(1, CHUNK_PIXELS // row_bytes))
    size = start = 0
    for name in names:
        size += max(0, tree.sizes.get(name, 0))
        task.append(content_location(tree, name))
        if len(task) == most or size >= CHUNK_BYTES:
            yield start, task
            start += len(task)
            task, size = [], 0
    if task:
        yield start, task


def content_location(tree: Tree, name: str) -> ContentLocation:
    """Where the content of a listed file is, or that there is no such file."""
    if name not in tree.sizes:
        return UnreadableFileError("it is listed, but there is no such file")
    return tree.locate(name)


def survey_of(chunks: Sequence[Chunk]) -> Survey:
    """What is known of all files together."""
    return Survey(
        np.frombuffer(b"".join(c.hashes for c in chunks), f"V{HASH_BYTES}"),
        [p for c in chunks for p in c.probes],
        {c.start + i: problem for c in chunks for i, problem in enumerate(c.problems) if problem},
    )
