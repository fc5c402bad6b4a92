"""How one network differs from another, layer by layer, as a person would say it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from conviction.model.shapes import LayerRow


def layer_changes(before: Sequence[LayerRow], after: Sequence[LayerRow]) -> list[str]:
    """What was added, taken out and changed, from the input to the output; nothing for equal networks.

    Layers are aligned so that as many as possible stay as they are. Names are those of the network before.

    >>> from conviction.config.model import Shorthand, expand
    >>> from conviction.model import walk
    >>> plain = walk(expand(Shorthand(dense=())), (28, 28, 1), 10)
    >>> dropped = walk(expand(Shorthand(dense=(), dropout=0.3)), (28, 28, 1), 10)
    >>> layer_changes(plain, dropped)
    ['+ Dropout 0.3 after max_pool_1', '+ Dropout 0.3 after max_pool_2']
    """
    changes: list[str] = []
    matcher = SequenceMatcher(None, [_what(r) for r in before], [_what(r) for r in after], autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            continue
        old, new = list(before[start:end]), list(after[first:last])
        anchor = before[start - 1].name if start else "the input"
        changes += _replaced(old, new, anchor)
    return changes


def _replaced(old: list[LayerRow], new: list[LayerRow], anchor: str) -> list[str]:
    """Layers of one kind at the same place are one layer with other settings."""
    pairs = SequenceMatcher(None, [r.kind for r in old], [r.kind for r in new], autojunk=False)
    changes = []
    for kind, start, end, first, last in pairs.get_opcodes():
        if kind == "equal":
            for one, other in zip(old[start:end], new[first:last], strict=True):
                changes.append(
                    f"{one.name}: {one.setting or 'as it is'} becomes {other.setting or 'as it is'}"
                )
        else:
            changes += [f"- {_words(row)} ({row.name})" for row in old[start:end]]
            after = old[start - 1].name if start else anchor
            changes += [f"+ {_words(row)} after {after}" for row in new[first:last]]
    return changes


def _what(row: LayerRow) -> tuple[str, str]:
    return row.kind, row.setting


def _words(row: LayerRow) -> str:
    return f"{row.kind} {row.setting.removeprefix('rate ')}".strip()
