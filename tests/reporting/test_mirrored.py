"""What is said of mirrors: every case with its figures, and with the key that changes it."""

from __future__ import annotations

import pytest

from conviction.data.mirrors import Mirrors
from conviction.reporting.mirrored import mirror_sentences


def of(*, use: bool, clear: bool = True, swapped: tuple[str, str] | None = None) -> Mirrors:
    return Mirrors(2000, 0.784, 0.5634, 0.1, swapped, use, clear)


@pytest.mark.parametrize(
    ("flip", "mirrors", "parts"),
    [
        ("none", None, []),
        ("horizontal", None, ["are mirrored. Where", "turn it off (augmentation.flip=none)."]),
        (
            "alternate",
            of(use=True),
            ["are mirrored, since", "78%", "56%", "2,000", "(augmentation.flip=none)."],
        ),
        ("none", of(use=False), ["are not mirrored, since that would change", "78%", "56%"]),
        ("alternate", of(use=True, clear=False), ["do not decide", "colour", "(augmentation.flip=none)."]),
        ("none", of(use=False, clear=False), ["do not decide", "Gray", "(augmentation.flip=alternate)."]),
        ("none", of(use=False, swapped=("left", "right")), ["mirror images of 'left' look like 'right'"]),
    ],
)
def test_each_case(flip: str, mirrors: Mirrors | None, parts: list[str]) -> None:
    text = " ".join(mirror_sentences(flip, mirrors))
    assert bool(text) == bool(parts)
    for part in parts:
        assert part in text
