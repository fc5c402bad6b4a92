"""A change to what is built, in a few words."""

from __future__ import annotations

from collections import Counter

from conviction.config.layer_edits import Layers
from conviction.web.work.desk import Draft, Work

# Keys whose last word alone says too little.
_WORDS = {
    "data.fit": "pictures of another shape",
    "data.exclude": "images left out",
    "data.test": "share of test images",
    "data.validation": "share of validation images",
    "evaluation.test": "test set opened at once",
    "data.group": "sessions kept together",
    "evaluation.folds": "cross-validation",
}


def describe_change(before: Work, after: Work) -> str:
    """What was changed: ``Conv2D added``, ``epochs``, ``other images``."""
    if before.source != after.source:
        return "other images"
    if before.draft is None or after.draft is None:
        return "a new network"
    if before.draft.recipe != after.draft.recipe:
        return f"the recipe {after.draft.recipe}"
    return ", ".join(
        [*_of_layers(before.draft.layers, after.draft.layers), *_of_keys(before.draft, after.draft)]
    )


def _of_layers(before: Layers, after: Layers) -> list[str]:
    if before == after:
        return []
    new, gone = Counter(after) - Counter(before), Counter(before) - Counter(after)
    if not new and not gone:
        return ["layers moved"]
    kinds = {layer.type for layer in (*new, *gone)}
    kind = kinds.pop() if len(kinds) == 1 else ""
    if kind and new.total() <= 1 and gone.total() <= 1:
        return [f"{kind} {'removed' if not new else 'changed' if gone else 'added'}"]
    return ["several layers"]


def _of_keys(before: Draft, after: Draft) -> list[str]:
    names = {*before.keys, *after.keys}
    return [word_of(name) for name in sorted(names) if before.keys.get(name) != after.keys.get(name)]


def word_of(key: str) -> str:
    """A key of the specification in a few words.

    >>> word_of("training.learning_rate"), word_of("evaluation.folds")
    ('learning rate', 'cross-validation')
    """
    return _WORDS.get(key) or key.rpartition(".")[2].replace("_", " ")
