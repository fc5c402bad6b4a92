"""The winner's curse, planted: a search whose trials are all equal has a winner that is not believed."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from conviction.experiments.belief import believe
from conviction.experiments.tuning import best_trials

optuna.logging.set_verbosity(optuna.logging.ERROR)


def searched(base: float, trials: list[float]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    for i, accuracy in enumerate([base, *trials]):
        study.add_trial(
            create_trial(
                params={"x": float(i)},
                distributions={"x": FloatDistribution(0, 1000)},
                value=accuracy,
                user_attrs={"base": i == 0, "keys": {"x": i} if i else {}, "value": {"params": 10}},
            )
        )
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"failure": "planted", "keys": {}}))
    return study


def again(
    rng: np.random.Generator, names: list[str], better: float
) -> dict[str, dict[int, dict[str, float]]]:
    """Fresh accuracies; seeds share their luck."""
    luck = rng.normal(0, 0.01, 5)
    return {
        name: {
            1000 + s: {
                "rank_accuracy": float(
                    0.9 + luck[s] + rng.normal(0, 0.002) + (better if name != "base" else 0)
                ),
                "rank_images": 3000,
            }
            for s in range(5)
        }
        for name in names
    }


def test_the_lead_of_equal_trials_was_luck() -> None:
    believed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        study = searched(0.9, list(0.9 + rng.normal(0, 0.01, 30)))
        names = ["base", *(str(t.number) for t in best_trials(study))]
        belief = believe(study, again(rng, names, 0.0), 10)
        assert "were luck" in belief.sentences[0]
        winner = belief.winner.difference
        believed += bool(winner and winner.low > 0)
    # The best of three on fresh seeds is itself a choice: at most three times 2.5%.
    assert believed / 200 < 0.1


def test_a_real_lead_survives() -> None:
    rng = np.random.default_rng(0)
    study = searched(0.9, [0.93, 0.95, 0.91])
    belief = believe(study, again(rng, ["base", "2", "1", "3"], 0.03), 10)
    assert belief.winner.name in ("1", "2", "3")
    assert belief.winner.difference is not None
    assert belief.winner.difference.low > 0
    assert [c.name for c in belief.contenders] == ["2", "1", "3"]


def test_nothing_better_than_the_base_recommends_the_base() -> None:
    study = searched(0.95, [0.9, 0.94])
    belief = believe(study, {"base": {}}, 10)
    assert belief.contenders == ()
    assert belief.winner.name == "base"
    assert belief.sentences == ["No trial beat the base, so the base is recommended."]


def lacking(base: float | None, trials: list[float]) -> optuna.Study:
    """A search whose base, where it has no accuracy, failed."""
    if base is not None:
        return searched(base, trials)
    study = optuna.create_study(direction="maximize")
    for trial in searched(0.0, trials).trials[1:]:
        study.add_trial(trial)
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"base": True, "failure": "planted"}))
    return study


def on_fresh_seeds(**accuracies: list[float]) -> dict[str, dict[int, dict[str, float]]]:
    """Of ``base`` and trials, with seeds from 1000 on."""
    return {
        name.removeprefix("t"): {
            1000 + s: {"rank_accuracy": a, "rank_images": 100.0} for s, a in enumerate(values)
        }
        for name, values in accuracies.items()
    }


@pytest.mark.parametrize(
    ("study", "fresh", "winner", "sentence"),
    [
        (lacking(None, []), {}, None, "No trial of the search finished, so nothing is recommended."),
        (lacking(0.9, [0.95]), {"base": [], "t1": []}, None, "No run on fresh seeds finished"),
        # What was not measured is not 0: nobody is said to have led it.
        (
            lacking(None, [0.1]),
            {"base": [0.5, 0.5], "t0": [0.1, 0.1]},
            "base",
            "it is not known which trials beat it",
        ),
        (
            lacking(None, [0.6]),
            {"base": [0.5, 0.5], "t0": [0.6, 0.6]},
            "0",
            "Recommended: trial 0, +10.00 points",
        ),
        (lacking(0.9, [0.95]), {"base": [], "t1": [0.94, 0.95]}, "1", "The base finished on none"),
        (lacking(0.9, [0.95]), {"base": [0.9, 0.9], "t1": []}, "base", "nothing is better than the base"),
    ],
)
def test_what_failed_is_not_zero(
    study: optuna.Study, fresh: dict[str, list[float]], winner: str | None, sentence: str
) -> None:
    belief = believe(study, on_fresh_seeds(**fresh), 10)
    assert (belief.winner and belief.winner.name) == winner
    assert sentence in " ".join(belief.sentences)
    assert "0.00%" not in " ".join(belief.sentences)


def test_a_trial_is_compared_on_the_seeds_that_it_and_the_base_finished() -> None:
    # Better than the base on the one seed that both have, though its mean is lower than that of the base.
    study = lacking(0.9, [0.95])
    failed = {"failure": "took longer than 1 seconds", "value": None}
    study.set_user_attr("confirmed", {"1/1001": failed, "base/1000": {"failure": None}})
    belief = believe(study, on_fresh_seeds(base=[0.5, 0.9], t1=[0.6]), 10)
    assert belief.winner is not None
    assert belief.winner.name == "1"
    assert "Trial 1 failed on 1 of 2 fresh seeds: took longer than 1 seconds." in belief.sentences
