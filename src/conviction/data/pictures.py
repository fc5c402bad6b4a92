"""From files to decoded pixels in one pass: read, hash, look at the header, decode; on every core.

Processes, not threads: small pictures spend most of their time in Python, which runs one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from conviction.backend import usable_cores
from conviction.data.decode import DecodingRule, Probe, UnreadableImageError, decode_each, probe
from conviction.data.image_set import HASH_BYTES, content_hash
from conviction.data.tree import Place, Tree, UnreadableFileError, fetch

# Files for one task: enough that handing it over costs little, few enough that progress is even.
CHUNK_FILES = 256
CHUNK_BYTES = 32 * 2**20
# Starting processes takes half a second, in which one process decodes about this much.
FEW_FILES = 2000
FEW_BYTES = 64 * 2**20
# How far reading may run ahead of writing, in tasks a process.
AHEAD = 2
# The side of the small copies in which near-duplicates are looked for.
THUMB = 32


@dataclass(frozen=True)
class Survey:
    """What is known of each file without its pixels, one row a file; rows with a problem hold zeros.

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
    """What one task gives: rows of files in order, and the pixels of those that could be decoded."""

    hashes: bytes = b""
    probes: list[Probe | None] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    decoded: list[bool] = field(default_factory=list)
    pixels: np.ndarray | None = None
    thumbs: np.ndarray | None = None
    pixel_hashes: bytes = b""


def thumb_rule(rule: DecodingRule) -> DecodingRule:
    """How the small copy of a picture is made, whatever size and mode the network gets."""
    # Whether any picture has colours is known only after all were read; three channels hold both.
    return rule.model_copy(update={"height": THUMB, "width": THUMB, "color_mode": "rgb", "version": 2})


def read_chunk(places: Sequence[Place], rule: DecodingRule, thumbs: DecodingRule) -> Chunk:
    """Reads, hashes, probes and decodes some files, in this process."""
    out = Chunk()
    pixels = np.empty((len(places), *rule.shape), np.uint8)
    small = np.empty((len(places), *thumbs.shape), np.uint8)
    hashes, pixel_hashes = [], []
    kept = 0
    for place in places:
        found, problem, decoded = None, "", False
        identity = bytes(HASH_BYTES)
        try:
            content = fetch(place)
            identity = content_hash(content)
            found = probe(content)
            pixels[kept], small[kept] = decode_each(content, (rule, thumbs))
            pixel_hashes.append(content_hash(pixels[kept].tobytes()))
            kept += 1
            decoded = True
        except (UnreadableFileError, UnreadableImageError) as failure:
            problem = str(failure)
        hashes.append(identity)
        out.probes.append(found)
        out.problems.append(problem)
        out.decoded.append(decoded)
    out.hashes, out.pixel_hashes = b"".join(hashes), b"".join(pixel_hashes)
    out.pixels, out.thumbs = pixels[:kept], small[:kept]
    return out


def read_pictures(
    tree: Tree, names: Sequence[str], rule: DecodingRule, thumbs: DecodingRule
) -> Iterator[Chunk]:
    """The chunks of all files, in order; only a few are in memory at a time."""
    places = _tasks(tree, names)
    total = sum(max(0, tree.sizes.get(n, 0)) for n in names)
    cores = usable_cores()
    if cores == 1 or (len(names) < FEW_FILES and total < FEW_BYTES):
        for task in places:
            yield read_chunk(task, rule, thumbs)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    work = Parallel(n_jobs=cores, return_as="generator", batch_size=1, pre_dispatch=AHEAD * cores)
    try:
        yield from work(delayed(read_chunk)(task, rule, thumbs) for task in places)
    finally:
        # The processes would wait for more work for minutes, with their memory.
        get_reusable_executor().shutdown(wait=True)


def _tasks(tree: Tree, names: Sequence[str]) -> Iterator[list[Place]]:
    task: list[Place] = []
    size = 0
    for name in names:
        size += max(0, tree.sizes.get(name, 0))
        task.append(place_of(tree, name))
        if len(task) == CHUNK_FILES or size >= CHUNK_BYTES:
            yield task
            task, size = [], 0
    if task:
        yield task


def place_of(tree: Tree, name: str) -> Place:
    """Where the content of a listed file is, or that there is no such file."""
    if name not in tree.sizes:
        return UnreadableFileError("it is listed, but there is no such file")
    return tree.place(name)


def collect(
    chunks: Iterator[Chunk], sink: Callable[[np.ndarray, np.ndarray], None]
) -> tuple[Survey, list[int], bytes]:
    """Hands pixels and thumbs to ``sink`` as they come; returns the rest of all chunks together.

    Returns:
        (the survey, the rows that were decoded, their pixel hashes).
    """
    hashes, pixel_hashes = [], []
    probes: list[Probe | None] = []
    problems: dict[int, str] = {}
    rows: list[int] = []
    for chunk in chunks:
        start = len(probes)
        hashes.append(chunk.hashes)
        pixel_hashes.append(chunk.pixel_hashes)
        probes += chunk.probes
        problems.update({start + i: p for i, p in enumerate(chunk.problems) if p})
        rows += [start + i for i, good in enumerate(chunk.decoded) if good]
        assert chunk.pixels is not None
        assert chunk.thumbs is not None
        sink(chunk.pixels, chunk.thumbs)
    survey = Survey(np.frombuffer(b"".join(hashes), f"V{HASH_BYTES}"), probes, problems)
    return survey, rows, b"".join(pixel_hashes)
