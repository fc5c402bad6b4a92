"""Accuracy by slice: a planted weakness is found, a mere mix of classes is not taken for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conviction.data import ImageSet, load_source
from conviction.errors import RequestError
from conviction.evaluation import read_metadata
from conviction.evaluation.slices import properties, slices


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_source("digits")


def world(seed: int, n: int = 3_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Classes, a property that goes with them, one that does not, and random numbers to be right by."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    tied = np.where(rng.random(n) < 0.8, labels > 0, rng.random(n) < 0.5)
    free = rng.random(n) < 0.3
    return labels, tied.astype(str), free.astype(str), rng.random(n)


def test_a_weakness_is_found_and_said() -> None:
    labels, _, free, chance = world(0)
    right = chance < np.where(free == "True", 0.8, 0.9)
    (found,) = slices({"night": free}, labels, right)
    assert found.p_value < 1e-6
    assert "worst for True" in found.sentence
    assert sum(s.n for s in found.slices) == len(labels)
    night = next(s for s in found.slices if s.name == "True")
    assert night.accuracy == pytest.approx(right[free == "True"].mean())
    assert night.ci95[0] < night.accuracy < night.ci95[1]


def test_difficult_classes_in_a_slice_are_no_weakness_of_it() -> None:
    labels, tied, _, chance = world(1)
    right = chance < np.array([0.95, 0.7, 0.75])[labels]
    (found,) = slices({"folder": tied}, labels, right)
    accuracy = [s.accuracy for s in found.slices]
    assert max(accuracy) - min(accuracy) > 0.1, "the naive reading would call it one"
    assert found.p_value > 0.05
    for s in found.slices:
        assert s.expected == pytest.approx(s.accuracy, abs=0.03)


def test_without_any_weakness_p_values_are_as_small_as_they_say() -> None:
    p = []
    for seed in range(300):
        labels, tied, free, chance = world(seed, 400)
        right = chance < np.array([0.95, 0.7, 0.75])[labels]
        p.append(slices({"tied": np.char.add(tied, free)}, labels, right)[0].p_value)
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09
    assert 0.4 < np.mean(p) < 0.6


def test_for_two_slices_it_is_the_textbook_mantel_haenszel_statistic() -> None:
    from scipy.stats import chi2

    labels, _, free, chance = world(3, 500)
    right = chance < 0.8
    over, variance = 0.0, 0.0
    for label in range(3):
        inside = labels == label
        n, a = inside.sum(), (inside & (free == "True") & right).sum()
        row, column = (inside & (free == "True")).sum(), (inside & right).sum()
        over += a - row * column / n
        variance += row * (n - row) * column * (n - column) / (n**2 * (n - 1))
    (found,) = slices({"x": free}, labels, right)
    assert found.p_value == pytest.approx(chi2.sf(over**2 / variance, 1))


def test_many_properties_are_corrected_for() -> None:
    labels, _, free, chance = world(4)
    right = chance < np.where(free == "True", 0.86, 0.9)
    alone = slices({"a": free}, labels, right)[0].p_value
    rng = np.random.default_rng(0)
    others = {f"noise {i}": rng.random(len(labels)) for i in range(9)}
    among = next(s for s in slices({"a": free, **others}, labels, right) if s.property == "a")
    assert among.p_value == pytest.approx(min(1.0, 10 * alone))


def test_everything_right_has_nothing_to_explain() -> None:
    labels, _, free, _ = world(5, 100)
    assert slices({"x": free}, labels, np.ones(100, bool))[0].p_value == 1.0


def test_brightness_folders_and_columns_become_slices(images: ImageSet, tmp_path: Path) -> None:
    table = tmp_path / "about.csv"
    lines = [f"{name},{i % 2},{i}" for i, name in enumerate(images.names)]
    table.write_text("\n".join(["file,Camera,weight", *lines]))
    values = read_metadata(str(table), images)
    index = np.arange(200, 400)
    found = properties(images, index, values)
    assert set(found) == {"brightness", "camera", "weight"}
    assert found["camera"].tolist() == [str(i % 2) for i in index]
    assert found["weight"].dtype.kind == "f"
    assert found["brightness"][0] == images.pixels[200].mean()
    cut = slices(found, images.labels[index], index % 3 > 0)
    assert [len(s.slices) for s in cut] == [4, 2, 4]
    nested = replace(images, names=[f"{images.labels[i]}/{'ab'[i % 2]}/{i}.png" for i in range(len(images))])
    assert set(properties(nested, index, {})["folder"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file\nimage/0\n", "expected columns besides 'file'"),
        ("name,camera\nimage/0,a\n", "a column 'file'"),
        ("file,camera\nimage/none,a\n", "the first is 'image/none'"),
    ],
)
def test_metadata_that_says_nothing_is_refused(
    images: ImageSet, tmp_path: Path, content: str, message: str
) -> None:
    table = tmp_path / "about.csv"
    table.write_text(content)
    with pytest.raises(RequestError, match=message):
        read_metadata(str(table), images)
    with pytest.raises(RequestError, match="cannot read it"):
        read_metadata(str(tmp_path / "none.csv"), images)
