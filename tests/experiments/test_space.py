"""Spaces: what may be written, and that what is asked for depends on its conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from conviction.config import load_recipe
from conviction.errors import RequestError
from conviction.experiments.space import DEFAULT, WITH_BACKBONE, base_values, parse_space, read_space, suggest

optuna.logging.set_verbosity(optuna.logging.ERROR)


def draws(content: dict[str, Any], count: int = 60) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(parse_space(content), study.ask()) for _ in range(count)]


def test_every_draw_of_the_default_space_is_a_specification() -> None:
    for values in draws({k: dict(v) for k, v in DEFAULT.items()}):
        load_recipe({"recipe": "lab", **values})
        assert ("training.weight_decay" in values) == (values["training.optimizer"] == "adamw")


def test_every_draw_of_the_space_of_a_backbone_is_a_specification() -> None:
    for values in draws({k: dict(v) for k, v in WITH_BACKBONE.items()}):
        recipe = load_recipe({"recipe": "transfer", **values})
        assert recipe.model.backbone is not None


def test_ranges_are_kept_and_logarithms_are_even() -> None:
    found = draws({"training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}, 400)
    rates = [v["training.learning_rate"] for v in found]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert 0.4 < sum(rate < 1e-3 for rate in rates) / 400 < 0.6
    whole = draws({"training.batch_size": {"low": 16, "high": 20}})
    assert {v["training.batch_size"] for v in whole} == set(range(16, 21))


def test_the_base_is_recorded_as_far_as_the_space_holds_it() -> None:
    space = parse_space(
        {
            "model.kernel_size": {"choices": [3, 5]},
            "training.learning_rate": {"low": 0.001, "high": 0.1},
            "model.dropout": {"low": 0.1, "high": 0.5},
        }
    )
    given = {"model.kernel_size": 5, "training.learning_rate": 0.5, "recipe": "lab"}
    assert base_values(space, given) == {"model.kernel_size": "5"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model.kernel": {"choices": [3]}}, "Did you mean 'model.kernel_size'"),
        ({"model.kernel_size": [3, 5]}, "expected"),
        ({"model.kernel_size": {"choices": []}}, "expected"),
        ({"model.dropout": {"low": 0.5, "high": 0.1}}, "low < high"),
        ({"model.dropout": {"low": 0, "high": 0.1, "log": True}}, "above 0 with log"),
        ({"model.dropout": {"low": "a", "high": 1}}, "expected numbers"),
        ({"model.dropout": {"low": 0.1, "top": 1}}, "expected"),
        ({"training.seed": {"low": 0, "high": 9}}, "cannot be tuned"),
        ({"data.validation": {"low": 0.1, "high": 0.2}}, "cannot be tuned"),
        ({"model.dropout": {"choices": [0.1], "when": {"model.kernel_size": 3}}}, "must come before it"),
    ],
)
def test_what_is_no_space_is_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        parse_space(content)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for name, text in (("a.yaml", "[1, 2"), ("b.yaml", "- 1"), ("c.yaml", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(RequestError, match="space"):
            read_space(tmp_path / name)
    with pytest.raises(RequestError, match="space"):
        read_space(tmp_path / "missing.yaml")
