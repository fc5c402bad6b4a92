"""Why training mirrors its images, or does not, in sentences."""

from __future__ import annotations

from conviction.audience import by_key
from conviction.data.mirrors import Mirrors


def mirror_sentences(flip: str, mirrors: Mirrors | None) -> list[str]:
    """What training does about mirrors, and how to change it; nothing where nobody asked.

    Args:
        flip: ``augmentation.flip``, settled.
        mirrors: What decided it; None if a person did.
    """
    if mirrors is None:
        return [] if flip == "none" else [f"Training images are mirrored. {_unless()}"]
    shares = (
        f"the nearest neighbour of an image has its class in {mirrors.agreement:.0%} of cases, that of its mirror "
        f"image in {mirrors.mirrored:.0%} ({mirrors.images:,} training images, averaged over the classes)"
    )
    if mirrors.swapped is not None:
        one, other = mirrors.swapped
        return [
            f"Training images are not mirrored: mirror images of '{one}' look like '{other}', and those like it."
        ]
    if not mirrors.clear:
        undecided = "Neighbours do not decide whether a mirror image shows the same class: " + shares
        if mirrors.use:
            return [
                f"{undecided}. Pictures in colour are mostly photographs, so they are mirrored. {_unless()}"
            ]
        return [
            f"{undecided}. Gray pictures are often letters or digits, so they are not mirrored; if they should be, "
            f"turn it on{by_key('augmentation.flip=alternate')}."
        ]
    if mirrors.use:
        return [
            f"Training images are mirrored, since mirror images still look like their class: {shares}. {_unless()}"
        ]
    return [f"Training images are not mirrored, since that would change what they show: {shares}."]


def _unless() -> str:
    return (
        "Where that changes what they show, as with letters or gestures, turn it off"
        f"{by_key('augmentation.flip=none')}."
    )
