"""A search as steps for the terminal and as a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.experiments.belief import Belief, Contender
from conviction.experiments.search import Against, Search
from conviction.experiments.trials import done_trials, is_finished
from conviction.reporting import Drawing, Step, Table, render_template, whole_numbers

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure

FEWEST_FOR_IMPORTANCE = 10
COSTS: Mapping[Against, str] = {
    "params": "parameters",
    "multiply_adds": "multiply-adds",
    "latency": "milliseconds for one image",
}


def tuning_steps(search: Search, study: optuna.Study, belief: Belief) -> list[Step]:
    """What was searched, what mattered, and whether to believe the winner."""
    return [_search_step(search, study), *_importance_steps(study), _belief_step(belief)]


def _search_step(search: Search, study: optuna.Study) -> Step:
    trials = study.get_trials(deepcopy=False)
    ends = Counter(_end(t) for t in trials)
    counted = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    failures = Counter(t.user_attrs["failure"] for t in trials if "failure" in t.user_attrs)
    plan = search.plan
    recipe = plan.base.recipe
    assert recipe is not None
    images = plan.train_images or plan.counts["train"]
    sentences = [
        f"{len(trials)} proposals: {counted}.",
        f"Each trial: {recipe.training.epochs} epochs of {images:,} training images, seed {search.seed}. Half of the "
        "validation images chose the epoch, the other half ranked the trials. The test set stayed sealed.",
        *(f"{count} failed: {reason}" for reason, count in failures.most_common(5)),
    ]
    best = sorted((t for t in trials if _end(t) == "done"), key=lambda t: -t.values[0])[:10]
    rows = tuple(
        (
            "base" if t.user_attrs.get("base") else str(t.number),
            f"{t.values[0] * 100:.2f}",
            f"{t.user_attrs['value']['params']:,}",
            f"{t.user_attrs['value']['multiply_adds']:,}",
            f"{t.user_attrs['seconds']:.0f}",
            typed_keys(t.user_attrs["keys"]),
        )
        for t in best
    )
    columns = ("trial", "accuracy", "parameters", "multiply-adds", "seconds", "keys")
    return Step("Search", tuple(sentences), Table(columns, rows, (1, 2, 3, 4)))


def typed_keys(keys: Mapping[str, Any]) -> str:
    """Keys and values as a user types them."""
    return " ".join(
        f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={json.dumps(v)}" for k, v in keys.items()
    )


def _end(trial: optuna.trial.FrozenTrial) -> str:
    from optuna.trial import TrialState

    if "misfit" in trial.user_attrs:
        return "not run, because they do not fit the images"
    if trial.state == TrialState.FAIL:
        return "failed" if is_finished(trial) else "interrupted and started again"
    return {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}.get(trial.state, "waiting")


def importances(study: optuna.Study) -> dict[str, float]:
    """The share of the variance of accuracy that each key explains, by fANOVA (Hutter, Hoos and Leyton-Brown, 2014).

    Covers the keys that every trial has; empty for fewer than 10 trials, which show nothing.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len(done_trials(study)) < FEWEST_FOR_IMPORTANCE:
        return {}
    try:
        shares = get_param_importances(
            study, evaluator=FanovaImportanceEvaluator(seed=0), target=lambda t: t.values[0]
        )
    except (ValueError, RuntimeError):  # no variance at all
        return {}
    return dict(shares)


def _importance_steps(study: optuna.Study) -> list[Step]:
    shares = importances(study)
    if not shares:
        return []
    rows = tuple((key, f"{share:.0%}") for key, share in shares.items())
    sentence = (
        "How much of the variance of accuracy each key explains, by fANOVA over the trials that were done; "
        "with few trials, this is rough."
    )
    return [Step("What mattered in the search", (sentence,), Table(("key", "share"), rows, (1,)))]


def _belief_step(belief: Belief) -> Step:
    rows = tuple(_contender(c) for c in (belief.base, *belief.contenders))
    columns = ("trial", "in the search", "on fresh seeds", "difference from the base", "parameters", "keys")
    return Step("Should you believe the winner?", tuple(belief.sentences), Table(columns, rows, (1, 2, 3, 4)))


def _contender(c: Contender) -> tuple[str, ...]:
    again = ""
    if c.again:
        values = np.array(c.again) * 100
        again = f"{values.mean():.2f}" + (f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else "")
    d = c.difference
    difference = f"{d.mean * 100:+.2f} [{d.low * 100:+.2f}, {d.high * 100:+.2f}]" if d and d.known else ""
    searched = f"{c.searched * 100:.2f}" if c.searched is not None else ""
    return (c.name, searched, again, difference, f"{c.params:,}", typed_keys(c.keys))


def history(study: optuna.Study) -> Drawing:
    """The accuracy of each trial, in the order in which they began, and the best so far."""

    def draw(figure: Figure, colors: Any) -> Mapping[str, str]:
        axes = figure.subplots()
        done = done_trials(study)
        at = [t.number for t in done]
        values = [t.values[0] * 100 for t in done]
        axes.plot(at, values, "o", color=colors.validation, markersize=4, label="trial")
        axes.step(at, np.maximum.accumulate(values), where="post", color=colors.training, label="best so far")
        pruned = [
            t for t in study.get_trials(deepcopy=False) if _end(t) == "pruned" and t.intermediate_values
        ]
        last = [max(t.intermediate_values.items())[1] * 100 for t in pruned]
        axes.plot(
            [t.number for t in pruned], last, "x", color=colors.ink, alpha=0.5, markersize=4, label="pruned"
        )
        axes.set(xlabel="trial", ylabel="accuracy")
        whole_numbers(axes)
        axes.legend(loc="best", frameon=False)
        return {}

    return Drawing("Accuracy of each trial", draw)


def slices(study: optuna.Study) -> Drawing:
    """Accuracy over the values of each key that was tried."""
    done = done_trials(study)
    names = sorted({name for t in done for name in t.params})
    columns = 3
    lines = max(1, -(-len(names) // columns))

    def draw(figure: Figure, colors: Any) -> Mapping[str, str]:
        axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for axis, name in zip(axes, names, strict=False):
            with_it = [t for t in done if name in t.params]
            values = [t.params[name] for t in with_it]
            if any(isinstance(v, str) for v in values):
                known = sorted(set(values))
                axis.set_xticks(range(len(known)), [str(k) for k in known])
                values = [known.index(v) for v in values]
            elif min(values) > 0 and max(values) / min(values) > 20:
                axis.set_xscale("log")
            axis.plot(
                values, [t.values[0] * 100 for t in with_it], "o", color=colors.validation, markersize=4
            )
            axis.set_title(name, fontsize=10)
        for axis in axes[len(names) :]:
            axis.set_axis_off()
        return {}

    return Drawing("Accuracy over each key", draw, (9.6, 2.4 * lines))


def parallel(study: optuna.Study) -> Drawing:
    """A line for each trial through the values of all keys, with the best in another colour."""
    done = sorted(done_trials(study), key=lambda t: t.values[0])
    names = [n for n in sorted({n for t in done for n in t.params}) if all(n in t.params for t in done)]

    def draw(figure: Figure, colors: Any) -> Mapping[str, str]:
        axes = figure.subplots()
        positions = {n: _positions([t.params[n] for t in done]) for n in names}
        accuracy = _positions([t.values[0] for t in done])
        for i, _ in enumerate(done):
            line = [*(positions[n][i] for n in names), accuracy[i]]
            best = i >= len(done) - 3
            axes.plot(
                range(len(line)),
                line,
                color=colors.training if best else colors.ink,
                alpha=0.9 if best else 0.2,
                linewidth=1.4 if best else 0.8,
            )
        axes.set_xticks(range(len(names) + 1), [*(n.split(".")[-1] for n in names), "accuracy"], rotation=20)
        axes.set_yticks([0, 1], ["lowest", "highest"])
        return {}

    return Drawing("A line for each trial through the values of all keys, the best three marked", draw)


def _positions(values: list[Any]) -> list[float]:
    """Scales values to 0 to 1 from lowest to highest; strings by their order, wide ranges by their logarithm."""
    if any(isinstance(v, str) for v in values):
        known = sorted(set(values))
        numbers = [float(known.index(v)) for v in values]
    else:
        numbers = [float(v) for v in values]
        if min(numbers) > 0 and max(numbers) / min(numbers) > 20:
            numbers = [float(np.log(v)) for v in numbers]
    low, high = min(numbers), max(numbers)
    return [(v - low) / (high - low) if high > low else 0.5 for v in numbers]


def front(search: Search, study: optuna.Study) -> Drawing:
    """Accuracy against the second objective, the trials that no other beats in both joined."""

    def draw(figure: Figure, colors: Any) -> Mapping[str, str]:
        assert search.against is not None
        axes = figure.subplots()
        done = done_trials(study)
        axes.plot(
            [t.values[1] for t in done], [t.values[0] * 100 for t in done], "o", color=colors.ink, alpha=0.4
        )
        best = sorted(((t.values[1], t.values[0] * 100) for t in study.best_trials), key=lambda p: p[0])
        axes.step(*zip(*best, strict=True), where="post", marker="o", color=colors.training)
        axes.set(xscale="log", xlabel=COSTS[search.against], ylabel="accuracy")
        return {}

    return Drawing("Accuracy against cost, and the front", draw)


def _why(trial: optuna.trial.FrozenTrial) -> str:
    reason = trial.user_attrs.get("failure") or trial.user_attrs.get("misfit")
    epochs = len(trial.intermediate_values)
    return str(reason) if reason else f"after {epochs} epoch{'' if epochs == 1 else 's'}"


def render_tuning(search: Search, study: optuna.Study, belief: Belief, test: str) -> str:
    """One self-contained page.

    Args:
        search: What was searched.
        study: The study with its trials.
        belief: What is recommended, and why.
        test: The result of the one evaluation on the test set, in a sentence; empty if there was none.
    """
    enough = len(done_trials(study)) >= 2
    drawings = [("History", history(study))] if enough else []
    if enough and search.against:
        drawings.append(("Accuracy against cost", front(search, study)))
    if enough:
        drawings += [("Key by key", slices(study)), ("All keys at once", parallel(study))]
    others = [t for t in study.get_trials(deepcopy=False) if _end(t) != "done"]
    rows = tuple(
        (
            str(t.number),
            _end(t),
            _why(t),
            typed_keys(t.user_attrs.get("keys", {})),
        )
        for t in others
    )
    return render_template(
        "experiments/tuning.html.j2",
        source=search.plan.source,
        steps=tuning_steps(search, study, belief),
        test=test,
        drawings=[(title, drawing.svg()) for title, drawing in drawings],
        others=Table(("trial", "end", "why", "keys"), rows),
    )


def tuning_json(search: Search, study: optuna.Study, belief: Belief) -> dict[str, Any]:
    """The trials, what mattered and what is recommended, as plain values."""
    trials = [
        {
            "number": t.number,
            "state": t.state.name,
            "accuracy": t.values[0] if t.values else None,
            "keys": t.user_attrs.get("keys", {}),
            "failure": t.user_attrs.get("failure"),
            "misfit": t.user_attrs.get("misfit"),
        }
        for t in study.get_trials(deepcopy=False)
    ]
    return {
        "source": search.plan.source,
        "trials": trials,
        "importances": importances(study),
        "recommended": belief.winner.name if belief.winner else None,
        "confirmed": {c.name: list(c.again) for c in (belief.base, *belief.contenders)},
        "sentences": belief.sentences,
    }
