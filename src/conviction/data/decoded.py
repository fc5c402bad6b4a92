"""The files of a source as decoded rows: from the cache, or read now and put there."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple

import numpy as np

from conviction.data import cache
from conviction.data.cache import Decoded
from conviction.data.decode import Probe, UnreadableImageError, probe
from conviction.data.image_set import HASH_BYTES
from conviction.data.pictures import Chunk, Survey, content_location, read_pictures, survey_of, thumb_rule
from conviction.data.rule import DecodingRule
from conviction.data.tree import Tree, UnreadableFileError, peek
from conviction.errors import StorageError

RuleOf = Callable[[list[Probe]], DecodingRule]
# How many headers are looked at to guess the rule, before every file is read once and decoded by that guess.
GUESSED_FROM = 64
# Version of what is recorded of a header.
LISTING = 3
# Without a cache, at most this much is held in memory.
LARGEST_IN_MEMORY = 2 * 10**9


def load_decoded(
    tree: Tree, names: Sequence[str], rule_of: RuleOf
) -> tuple[Survey, DecodingRule, Decoded, str]:
    """Surveys and decodes files; what an earlier call has decoded comes from the cache.

    Args:
        tree: Where they are.
        names: Paths in it, in its order.
        rule_of: Decides the rule from the headers of all readable files.

    Returns:
        (survey of ``names``, the rule, the decoded rows in an order of their own, a sentence if the cache could
        not be written).

    Raises:
        RequestError: ``CONVICTION_CACHE_GB`` is not a number above 0.
        StorageError: The cache cannot be written, and the pixels are too many for memory.
    """
    cache.limit_bytes()  # refused before any work, and whether or not the cache will have to grow
    listing = cache.key_of(
        "listing", LISTING, tree.location.resolve(), [(n, tree.stamps.get(n)) for n in names]
    )
    survey = _saved_survey(listing)
    if survey is not None:
        rule = rule_of([p for p in survey.probes if p])
        cached = cache.open_entry(_entry_key(survey, rule))
        if cached is not None:
            return survey, rule, cached, ""
    else:
        rule = rule_of(_some_probes(tree, names))
    while True:
        survey, decoded, warning = _read(tree, names, rule)
        wanted = rule_of([p for p in survey.probes if p]) if any(survey.probes) else rule
        _save_survey(listing, survey)
        if wanted == rule:
            return survey, rule, decoded, warning
        # The guess from a few headers was wrong: decode again, by the rule that all headers give.
        rule = wanted
        cached = cache.open_entry(_entry_key(survey, rule))
        if cached is not None:
            return survey, rule, cached, ""


def _some_probes(tree: Tree, names: Sequence[str]) -> list[Probe]:
    spread = np.unique(np.linspace(0, len(names) - 1, min(GUESSED_FROM, len(names))).astype(int))
    probes = []
    for i in spread:
        try:
            probes.append(probe(peek(content_location(tree, names[i]))))
        except (UnreadableFileError, UnreadableImageError):
            continue
    return probes or [Probe(64, 64, True, "RGB", "")]


def _entry_key(survey: Survey, rule: DecodingRule) -> str:
    content = b"".join(sorted(h.tobytes() for h in survey.hashes))
    # What was decoded before rules had this field is still what they ask for.
    return cache.key_of(
        content.hex(), rule.model_dump_json(exclude={"fit"} if rule.fit == "stretch" else None)
    )


def _read(tree: Tree, names: Sequence[str], rule: DecodingRule) -> tuple[Survey, Decoded, str]:
    reason = "what was written could not be read back"
    try:
        with cache.writing() as rows:
            chunks = read_pictures(tree, names, rule, rows)
            survey = survey_of(chunks)
            key = _entry_key(survey, rule)
            if len(survey.problems) < len(names):
                kept = [(c.start, len(c.thumb_sums)) for c in chunks]
                cache.finish(rows, key, kept, _index(tree.location.name, rule, chunks, survey))
        written = cache.open_entry(key)
        if written is not None:
            return survey, written, ""
        if len(survey.problems) == len(names):
            return survey, _in_memory(rule, []), ""
    except OSError as failure:
        reason = failure.strerror or str(failure)
    where = f"{cache.cache_root()} (set {cache.CACHE_VARIABLE} to name another folder)"
    size = len(names) * math.prod(rule.shape)
    if size > LARGEST_IN_MEMORY:
        raise StorageError(
            f"The decoded pixels need {size / 1e9:.1f} GB in the cache {where}, which cannot be written: {reason}. "
            "Free some space, name another folder, or make data.image_size smaller."
        )
    warning = f"The cache {where} cannot be written ({reason}): pixels stay in memory and are decoded again next time."
    chunks = read_pictures(tree, names, rule, None)
    return survey_of(chunks), _in_memory(rule, chunks), warning


def _index(name: str, rule: DecodingRule, chunks: Sequence[Chunk], survey: Survey) -> cache.Index:
    good = np.ones(len(survey.hashes), bool)
    good[list(survey.problems)] = False
    return cache.Index(
        name,
        (rule.shape, thumb_rule(rule).shape),
        survey.hashes[good],
        np.frombuffer(b"".join(c.pixel_hashes for c in chunks), f"V{HASH_BYTES}"),
        np.array([s for c in chunks for s in c.thumb_sums]),
    )


def _in_memory(rule: DecodingRule, chunks: Sequence[Chunk]) -> Decoded:
    survey = survey_of(chunks)
    index = _index("", rule, chunks, survey)
    pixels = [np.empty((0, *index.shapes[0]), np.uint8), *(c.pixels for c in chunks if c.pixels is not None)]
    thumbs = [np.empty((0, *index.shapes[1]), np.uint8), *(c.thumbs for c in chunks if c.thumbs is not None)]
    return Decoded(np.concatenate(pixels), np.concatenate(thumbs), index.hashes, index.pixel_hashes)


def _save_survey(key: str, survey: Survey) -> None:
    # JSON text as bytes: names of modes and reasons are text, and pickled arrays are never read.
    text = json.dumps([p and astuple(p) for p in survey.probes])
    problems = json.dumps({str(k): v for k, v in survey.problems.items()})
    cache.save_note(
        "listings",
        key,
        hashes=survey.hashes,
        probes=np.frombuffer(text.encode(), np.uint8),
        problems=np.frombuffer(problems.encode(), np.uint8),
    )


def _saved_survey(key: str) -> Survey | None:
    note = cache.load_note("listings", key)
    if note is None:
        return None
    probes = json.loads(note["probes"].tobytes())
    problems = json.loads(note["problems"].tobytes())
    return Survey(
        note["hashes"],
        [None if p is None else Probe(*p) for p in probes],
        {int(k): v for k, v in problems.items()},
    )
