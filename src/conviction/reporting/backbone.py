"""Sentences about a pretrained network: what it is, and whether to try one or do without."""

from __future__ import annotations

from conviction.config import ModelSpec
from conviction.model.backbones import KINDS, learned_from

# Of a checksum, enough to recognise it by.
DIGITS_SHOWN = 12


def backbone_suggestion(how: str) -> str:
    """That a backbone may be better on photographs; ``how`` is the command or call that tries one."""
    return (
        "On photographs in colour, a network that has already learned from others often makes fewer mistakes. To try "
        f"one: {how}"
    )


def no_backbone_suggestion(how: str) -> str:
    """That a network without a backbone may be better; ``how`` is the command or call that finds out."""
    return (
        "A backbone is not always better: on pictures unlike photographs, a network that learns from them alone can "
        f"win. To compare the two on validation images: {how}"
    )


def backbone_sentences(spec: ModelSpec) -> list[str]:
    """What the network that a model begins with is, and where its weights are from; none if it begins with none."""
    first = spec.backbone
    if first is None:
        return []
    kind, weights = KINDS[first.name], first.weights
    learns = {"head": "It is frozen: only the layers after it learn.", "all": "All of it goes on learning."}
    last = f"Its last {first.trainable} blocks go" if first.trainable != 1 else "Its last block goes"
    sentences = [f"{learned_from(kind)} {learns.get(str(first.trainable), f'{last} on learning.')}"]
    if weights is not None:
        sentences.append(
            f"Its weights are from {weights.source} (licence {weights.licence}); the SHA-256 of their file begins with "
            f"{weights.sha256[:DIGITS_SHOWN]}."
        )
    return sentences
