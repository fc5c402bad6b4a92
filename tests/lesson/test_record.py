"""What the texts predict is what was measured."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import pytest
from jinja2 import nodes
from scipy.stats import ttest_rel

from conviction.experiments import arms_for
from conviction.lesson import read_topic, recorded_facts, sheets
from conviction.lesson.record import MEASURES, ContradictionError, Effect, Measurement, measurements
from conviction.lesson.words import render, render_line

TEXT = Path(str(resources.files("conviction.lesson"))) / "text"
CLAIM = re.compile(r"measured\(.*?\)")


def quoted() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every call of ``measured`` in every text, also in branches that no run reaches."""
    for path in sorted(p for kind in ("*.md", "*.yaml") for p in TEXT.rglob(kind)):
        for call in jinja2.Environment().parse(path.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "measured":
                yield path.name, tuple(argument.as_const() for argument in call.args)


def test_every_claim_agrees_with_the_record() -> None:
    found = list(quoted())
    assert len(found) > 60
    for where, (name, measure, predicted) in found:
        assert measurements()[name].quote(measure, predicted), where  # type: ignore[arg-type]


def example(low: float, high: float) -> Measurement:
    effect = Effect(here=1.0, there=1.0, mean=(low + high) / 2, low=low, high=high)
    return Measurement("a.b", "a change", "images", "a setting", 5, "2026-01-01", {}, {"loss": effect}, None)


@pytest.mark.parametrize(
    ("low", "high", "direction"),
    [(0.1, 0.3, "higher"), (-0.3, -0.1, "lower"), (-0.1, 0.1, "no detectable difference"), (0, 1, None)],
)
def test_a_text_that_predicts_something_else_is_refused(
    low: float, high: float, direction: str | None
) -> None:
    one = example(low, high)
    for predicted in ("higher", "lower", "no detectable difference"):
        if predicted == (direction or "no detectable difference"):
            assert one.quote("loss", predicted).endswith(f"[{low:+.3f}, {high:+.3f}]")  # type: ignore[arg-type]
        else:
            with pytest.raises(ContradictionError, match=f"predicts '{predicted}'"):
                one.quote("loss", predicted)  # type: ignore[arg-type]


def test_a_planted_contradiction_does_not_render() -> None:
    text = "Ten times the rate collapses: {{ measured('steps.rate_10', 'first_accuracy', 'lower') }}."
    for fill in (render, render_line):
        with pytest.raises(ContradictionError, match=r"steps\.rate_10"):
            fill(text, recorded_facts())
    with pytest.raises(KeyError, match="nobody"):
        render_line("{{ measured('nobody.ran_this', 'loss', 'lower') }}", recorded_facts())


def test_every_expectation_of_a_setting_is_measured() -> None:
    """Whatever says what to expect quotes a measurement."""
    for sheet in sheets():
        text = sheet.text[sheet.text.index("## Before you try it") : sheet.text.index("## Why")]
        paragraphs = [p for p in text.split("\n\n") if re.search(r"\bexpect\b", p, re.IGNORECASE)]
        assert paragraphs, sheet.name
        for paragraph in paragraphs:
            assert CLAIM.search(paragraph), (sheet.name, paragraph)
        assert not re.search(r"\bexpect\b|\bbetter\b|\bworse\b", sheet.short, re.IGNORECASE), sheet.name


def test_the_record_is_whole() -> None:
    for one in measurements().values():
        assert one.seeds >= 3, one.name
        assert one.question, one.name
        assert one.setting, one.name
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", one.date), one.name
        assert {"conviction", "keras", "tensorflow", "numpy", "python"} <= set(one.versions), one.name
        assert set(one.differences) <= set(MEASURES), one.name
        for measure, effect in one.differences.items():
            assert effect.low <= effect.mean <= effect.high, (one.name, measure)
            assert effect.mean == pytest.approx(effect.here - effect.there, abs=2e-4, rel=1e-3)
            assert one.numbers(measure)


def test_a_page_says_how_its_numbers_were_measured() -> None:
    text = read_topic("learning_rate", recorded_facts())
    _, listed = text.split("## Measurements")
    for name in ("steps.rate_10", "steps.rate_100"):
        one = measurements()[name]
        assert one.about() in listed
        assert f"{one.seeds} paired seeds; {one.date}" in listed
    assert "## Measurements" not in read_topic("overview", recorded_facts())


def test_the_benchmark_asks_for_arms_that_exist() -> None:
    """A label that no question has would end an hour of training without a record."""
    bench = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "lesson.py"))
    recorded = set(measurements())
    for name, study in bench["STUDIES"].items():
        labels = {arm.label for arm in arms_for(study.questions, study.vary, {})}
        assert set(study.arms.values()) <= labels, name
        recorded -= {f"{name}.{arm}" for arm in study.arms}
    assert recorded == {f"across.{name}" for name in bench["ACROSS"]} | {
        f"plain.{name}" for name in bench["PLAIN"]
    }


def test_the_benchmark_compares_seed_by_seed() -> None:
    bench = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "lesson.py"))
    rng = np.random.default_rng(0)
    keys = ("loss", "accuracy", "val_loss", "val_accuracy")
    sides = [
        {seed: [dict(zip(keys, rng.uniform(size=4), strict=True)) for _ in range(3)] for seed in range(n)}
        for n in (6, 5)
    ]
    ours, theirs = ([side[seed][-1]["val_loss"] for seed in range(5)] for side in sides)
    interval = ttest_rel(ours, theirs).confidence_interval()
    loss = bench["difference_of"](*sides)["loss"]
    assert [loss["low"], loss["high"]] == pytest.approx([interval.low, interval.high], abs=1e-4)
    sides[0][2][-1]["val_loss"] = float("nan")
    assert "loss" not in bench["difference_of"](*sides)
    assert bench["difference_of"]({0: sides[0][0]}, sides[1]) == {}
