"""Cross-validation in words: before its networks are trained, what they say of the recipe, and where it is worth it."""

from __future__ import annotations

from conviction.config import FoldPlan, Recipe
from conviction.data import Split
from conviction.evaluation import Figure, RecipeEstimate, wilson
from conviction.reporting.steps import Step

NAME = "cross-validation"


def folds_step(recipe: Recipe, split: Split, done: int = 0, seconds: float | None = None) -> Step:
    """Folds: how many networks are trained, on what, and how long it takes.

    Args:
        recipe: With folds.
        split: Of the run.
        done: How many folds have been finished before.
        seconds: What the training of the run's own network took; None where it is over.
    """
    plan = recipe.evaluation.fold_plan
    assert plan is not None
    images = len(split.train) + len(split.validation)
    sentences = [
        f"The {images:,} images outside the test set are divided into {plan.folds} folds"
        f"{_times(plan)}. For each fold a new network learns from the other folds and is tested on this one, so "
        f"that every image is answered by networks that have not seen it: {plan.networks} networks, besides the one "
        "that is kept. The test set is not used."
    ]
    if done:
        sentences.append(f"{done} of {plan.networks} are done.")
    if seconds is not None and done < plan.networks:
        share = plan.work / plan.networks
        sentences.append(f"That takes about {_duration(seconds * share * (plan.networks - done))}.")
    return Step("Folds", tuple(sentences))


def _times(plan: FoldPlan) -> str:
    return "" if plan.repetitions == 1 else f", {plan.repetitions} times with different seeds"


def _duration(seconds: float) -> str:
    for limit, unit, name in ((5400, 3600, "hour"), (90, 60, "minute"), (0, 1, "second")):
        if seconds >= limit:
            number = max(1, round(seconds / unit))
            return f"{number} {name}{'' if number == 1 else 's'}"
    raise AssertionError(seconds)


def folds_ahead(recipe: Recipe) -> list[str]:
    """That more networks will be trained after this one, in a sentence; none without folds."""
    plan = recipe.evaluation.fold_plan
    if plan is None:
        return []
    times = "as long as" if plan.work == 1 else f"{plan.work:.0f} times as long as"
    return [
        f"After that, {plan.networks} more networks are trained for the estimate by folds, which takes about {times} "
        "this training."
    ]


def estimate_sentences(estimate: RecipeEstimate) -> list[str]:
    """What an estimate says and what it does not say."""
    folds = f"{estimate.folds} folds"
    if estimate.repetitions > 1:
        folds += f", {estimate.repetitions} times"
    return [
        f"Cross-validation ({folds}): accuracy {shown(estimate.accuracy)}; balanced accuracy "
        f"{shown(estimate.balanced_accuracy)}; {estimate.n:,} images. Each image was judged by networks that had not "
        f"seen it, which learned from about {estimate.learned:,.0f} images.",
        "This estimates how good networks of this recipe are with so many images, not how good the saved network is: "
        "that is what the test set is for. If the recipe was chosen with these images, the estimate is somewhat "
        "optimistic.",
    ]


def estimate_row(estimate: RecipeEstimate) -> tuple[str, ...]:
    """The row beside those of the parts: name, images, loss, accuracy and its interval."""
    return (
        NAME,
        f"{estimate.n:,}",
        f"{estimate.loss:.4f}",
        f"{estimate.accuracy.value:.2%}",
        interval(estimate.accuracy),
    )


def shown(figure: Figure) -> str:
    """A figure of folds with its interval."""
    return f"{figure.value:.2%}, 95% interval {interval(figure)}"


def interval(figure: Figure) -> str:
    """Its interval alone."""
    return "-" if figure.ci95 is None else f"{figure.ci95[0]:.2%} to {figure.ci95[1]:.2%}"


def few_tested_sentence(test_images: int, *, exact: bool = True) -> str:
    """How little so small a test set says, before there is an accuracy.

    Args:
        test_images: How many there are, at least 1.
        exact: Whether the split is known, or only its shares.

    >>> few_tested_sentence(12)
    'The test set has only 12 images: if 9 of them are right, the accuracy has a 95% interval of 46.8% to 91.1%.'
    """
    right = round(0.75 * test_images)
    low, high = wilson(right, test_images)
    images = "1 image" if test_images == 1 else f"{test_images:,} images"
    about = "" if exact else "about "
    return (
        f"The test set has only {about}{images}: if {right:,} of them are right, the accuracy has a 95% interval of "
        f"{low:.1%} to {high:.1%}."
    )


def folds_suggestion(test_images: int, how: str) -> str:
    """That folds are worth it for so small a test set.

    Args:
        test_images: How many there are.
        how: The command or call that does it.
    """
    return (
        f"The test set has only {test_images:,} image{'' if test_images == 1 else 's'}, so the accuracy on it is "
        f"uncertain. To estimate the recipe from all other images as well, with more networks: {how}"
    )
