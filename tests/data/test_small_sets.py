"""Sets as small as a class of learners brings along: every step of the audit and the split, whatever their size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conviction.config import load_recipe
from conviction.data import audit_images, load_source, split_images
from conviction.data.duplicates import find_near_duplicates
from conviction.errors import SourceError
from conviction.reporting.page import render_inspection


def striped(kind: int, number: int, side: int = 32) -> np.ndarray:
    """(side, side, 3) uint8: noisy waves along one of three directions, which look alike but are no copies."""
    rng = np.random.default_rng([kind, number])
    y, x = np.mgrid[:side, :side].astype(float)
    wave = np.sin(rng.uniform(0.7, 1.1) * (y, x, x + y)[kind % 3] + rng.uniform(0, 6.28))
    gray = 128 + 70 * wave + rng.normal(0, 25, (side, side)) + rng.uniform(-25, 25)
    return np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@settings(max_examples=40)
@given(classes=st.integers(1, 4), per_class=st.integers(0, 6), channels=st.sampled_from([1, 3]))
def test_pictures_that_are_alike_but_no_copies(classes: int, per_class: int, channels: int) -> None:
    # Pairs are proposed here of which none is left after the first comparison.
    thumbs = [striped(kind, number)[..., :channels] for kind in range(classes) for number in range(per_class)]
    pairs = find_near_duplicates(np.stack(thumbs) if thumbs else np.empty((0, 32, 32, channels), np.uint8))
    assert len(pairs.first) == 0


@settings(max_examples=25)
@given(counts=st.lists(st.integers(1, 5), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_a_set_of_any_size_is_audited_and_split_or_refused(
    counts: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("small")
    for kind, count in enumerate(counts):
        (root / f"c{kind}").mkdir()
        for number in range(count):
            Image.fromarray(striped(kind, 100 * seed + number)).save(root / f"c{kind}" / f"{number}.png")
    spec = load_recipe([]).data
    images = load_source(root, spec)
    audit = audit_images(images, spec)
    assert render_inspection(images, audit.findings, audit.compared)
    if min(counts) < 3:
        with pytest.raises(SourceError, match="class"):
            split_images(images, spec, seed, audit.groups, audit.excluded)
        return
    split = split_images(images, spec, seed, audit.groups, audit.excluded)
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(sum(counts)))
