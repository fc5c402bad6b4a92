"""Questions about figures: losses, epochs, intervals."""

from __future__ import annotations

import math
from random import Random

from conviction.evaluation import newcombe, wilson
from conviction.evaluation.gap import NORMAL
from conviction.lesson.facts import Facts
from conviction.lesson.question import Maker, QuestionDraft, plural

PATIENCE = 3
# Nobody reads more of them.
MOST_EPOCHS = 30


def _chance_level(facts: Facts, chance: Random) -> QuestionDraft:
    k = facts.classes
    return QuestionDraft(
        f"How accurate is guessing among {k} classes that are equally common?",
        (f"{1 / k:.1%}", f"One in {k}. Judge every figure from there, not from 0."),
        [
            ("0.0%", "A guess is right now and then."),
            ("50.0%", "That is guessing between two classes."),
            (f"{1 - 1 / k:.1%}", "That is how often it is wrong."),
        ],
    )


def _sealed(facts: Facts, chance: Random) -> QuestionDraft:
    test, validation, train = (facts.counts[name] / facts.total for name in ("test", "validation", "train"))
    return QuestionDraft(
        "What share of all the images of this run decided nothing at all until the end?",
        (f"{test:.2%}", "These are the test images: they changed no weight and no choice."),
        [
            (
                f"{validation:.2%}",
                "Those are the validation images: they change no weight, but they help decide.",
            ),
            (f"{train:.2%}", "Those are the training images; every step is made from them."),
            (f"{test + validation:.2%}", "Validation images decide when to stop and what to prefer."),
        ],
    )


def _guessing_loss(facts: Facts, chance: Random) -> QuestionDraft:
    # The chapter gives it for the run's own number of classes.
    k = chance.choice([k for k in (2, 5, 20, 100, 1000) if k != facts.classes])
    return QuestionDraft(
        f"Another network has {k:,} classes and gives all of them the same probability. What is its loss?",
        (f"{math.log(k):.3f}", f"-ln(1/{k}) = ln {k}, whatever the labels are."),
        [
            (f"{1 / k:.3f}", "That is the probability; the loss is minus its logarithm."),
            (f"{1 - 1 / k:.3f}", "That is how often a guess is wrong; cross-entropy is not an error rate."),
            (f"{math.log2(k):.3f}", "That is in bits; Keras uses the natural logarithm."),
            ("0.000", "A loss of 0 means probability 1 for every right class."),
        ],
    )


def _sure_and_wrong(facts: Facts, chance: Random) -> QuestionDraft:
    p = chance.choice([0.02, 0.05, 0.2, 0.4])
    return QuestionDraft(
        f"The network gives the right class a probability of {p:g}. What does this image add to the loss?",
        (f"{-math.log(p):.2f}", f"-ln {p:g}."),
        [
            (f"{1 - p:.2f}", "That would be a distance; cross-entropy grows without bound as p goes to 0."),
            (
                f"{-math.log(1 - p):.2f}",
                "That would be the loss if the other one of two classes were the right one.",
            ),
            (f"{-math.log10(p):.2f}", "The logarithm is the natural one."),
        ],
    )


def _which_loss(facts: Facts, chance: Random) -> QuestionDraft:
    two = facts.classes == 2
    names = {
        "binary_crossentropy": "It suits one sigmoid unit and labels of 0 or 1.",
        "categorical_crossentropy": "It suits a softmax over the classes and one-hot labels.",
        "sparse_categorical_crossentropy": "It suits a softmax and labels that are whole numbers.",
        "mean_squared_error": "Its gradient nearly vanishes where the network is sure and wrong.",
    }
    last = (
        "one sigmoid unit, and labels are 0 or 1"
        if two
        else f"a softmax over {facts.classes} classes, and labels are one-hot"
    )
    return QuestionDraft(
        f"The last layer is {last}. Which loss fits?",
        (facts.loss, names[facts.loss]),
        [(name, why) for name, why in names.items() if name != facts.loss],
    )


def _adams_memory(facts: Facts, chance: Random) -> QuestionDraft:
    n = facts.trainable
    return QuestionDraft(
        f"The network has {n:,} trainable parameters. How many more numbers does Adam keep?",
        (f"{2 * n:,}", "A mean of gradients and a mean of their squares for each parameter."),
        [
            (f"{n:,}", "SGD with momentum keeps one for each; Adam keeps two."),
            ("2", "Each parameter has its own two; that gives each weight a step of its own."),
            (f"{3 * n:,}", "Two for each parameter; the parameter itself is not kept again."),
        ],
    )


def _steps_an_epoch(facts: Facts, chance: Random) -> QuestionDraft:
    n, b, s = facts.train, facts.batch, facts.steps
    rest = n % b
    return QuestionDraft(
        f"{plural(n, 'training image')} in batches of {b}. How many steps are in one epoch?",
        (
            f"{s:,}",
            f"{n:,} / {b}"
            + (f", rounded up: the last batch has only {plural(rest, 'image')}." if rest else "."),
        ),
        [
            (f"{n // b:,}", "The incomplete batch at the end is a step as well."),
            (f"{n:,}", "That would be one image per step."),
            (f"{b:,}", "That is the batch size."),
            (f"{s * max(2, facts.epochs):,}", "That is more than one epoch."),
        ],
    )


def _turning_point(facts: Facts, chance: Random) -> QuestionDraft | None:
    if not 4 <= facts.epochs <= MOST_EPOCHS:
        return None
    kept, end = stopped(facts)
    losses = ", ".join(f"{row.epoch}: {row.val_loss:.4f}" for row in facts.history)
    waits = f"Epoch {kept} had the lowest loss so far"
    why = (
        f"{waits}, and the {PATIENCE} epochs after it were no lower."
        if end == kept + PATIENCE
        else f"{waits}, and fewer than {PATIENCE} epochs were left, so it never had to stop."
    )
    rise = _first_rise(facts)
    others = [
        ((kept, rise), f"It waits for {PATIENCE} epochs without a better loss, not for one."),
        ((end, end), "It goes back to the weights of the best epoch; that is what they are kept for."),
        ((facts.lowest.epoch, facts.epochs), "It does not know what later epochs would have brought."),
        ((kept, facts.epochs), "It stops as soon as its patience has run out."),
    ]
    return QuestionDraft(
        f"Validation loss by epoch: {losses}. What would early stopping with a patience of {PATIENCE} have done?",
        (_stopping(kept, end), why),
        [(_stopping(k, e), w) for (k, e), w in others if (k, e) != (kept, end) and e and k <= e],
    )


def _stopping(kept: int, end: int) -> str:
    return f"stopped after epoch {end}, with the weights of epoch {kept}"


def _first_rise(facts: Facts) -> int | None:
    """The first epoch whose validation loss is not below the one before."""
    pairs = zip(facts.history, facts.history[1:], strict=False)
    return next((after.epoch for before, after in pairs if after.val_loss >= before.val_loss), None)


def stopped(facts: Facts) -> tuple[int, int]:
    """(the epoch whose weights are kept, the last epoch) with early stopping on the validation loss."""
    best = facts.history[0]
    for row in facts.history:
        if row.val_loss < best.val_loss:
            best = row
        elif row.epoch - best.epoch >= PATIENCE:
            return best.epoch, row.epoch
    return best.epoch, facts.epochs


def _overfitting_since(facts: Facts, chance: Random) -> QuestionDraft | None:
    if facts.epochs < 4:
        return None
    prompt = "Has the validation loss of this run turned by more than its noise, and if so, since when?"
    wrong = [(f"since epoch {facts.epochs}, the last", "One epoch is not a turn.")]
    ahead = next((row.epoch for row in facts.history if row.loss < row.val_loss), None)
    if ahead is not None and ahead != facts.since:
        better = f"since epoch {ahead}, when the training loss was first below the validation loss"
        wrong.insert(
            0, (better, "That is a distance between two curves. A turn is one curve that rises again.")
        )
    if facts.since is None:
        return QuestionDraft(
            prompt, ("no", "It has not risen above its lowest by more than its noise."), wrong
        )
    low, last = facts.lowest, facts.last
    turn = f"{low.val_loss:.3f} in epoch {low.epoch}, {last.val_loss:.3f} at the end"
    accuracies = f"{low.val_accuracy:.1%} then and {last.val_accuracy:.1%} at the end"
    fitted = f"the training loss went from {low.loss:.3f} to {last.loss:.3f}"
    right = f"It rose by more than its noise ({turn}), while {fitted}."
    counts = (
        f"It turned: {turn}. Accuracy ({accuracies}) counts mistakes; the loss also asks how sure they are."
    )
    return QuestionDraft(
        prompt, (f"since epoch {facts.since}", right), [*wrong, ("no, because accuracy decides that", counts)]
    )


def _all_updates(facts: Facts, chance: Random) -> QuestionDraft:
    s, e = facts.steps, facts.epochs
    return QuestionDraft(
        f"Training: {plural(e, 'epoch')} of {plural(s, 'step')}. How many times did each weight change?",
        (plural(s * e, "time"), "Once in every step."),
        [
            (plural(e, "time"), "Weights change in every step, not once an epoch."),
            (plural(facts.train * e, "time"), "One update comes from a whole batch, not from one image."),
            (plural(s, "time"), "That is one epoch."),
        ],
    )


def _mistakes(facts: Facts, chance: Random) -> QuestionDraft | None:
    test = facts.test
    if test is None:
        return None
    wrong = test.n - test.right
    return QuestionDraft(
        f"Test accuracy is {test.accuracy:.2%} of {plural(test.n, 'image')}. How many were wrong?",
        (f"{wrong:,}", f"{test.n:,} - {test.right:,}."),
        [
            (f"{test.right:,}", "That many were right."),
            (f"{round(wrong / 2):,}", "Take 1 - accuracy, times the number of images."),
            (f"{round(2 * wrong + 1):,}", "Take 1 - accuracy, times the number of images."),
        ],
    )


def _better_or_not(facts: Facts, chance: Random) -> QuestionDraft | None:
    test = facts.test
    if test is None:
        return None
    half = (test.high - test.low) / 2
    lead = chance.choice([0.4, 4.0]) * half
    other = min(test.n, max(0, round((test.accuracy - lead) * test.n)))
    low, high = newcombe((test.right, test.n), (other, test.n))
    differs = low > 0
    cannot = "these two figures cannot tell"
    better = "yes, on images like these"
    between = f"the 95% interval of the difference is {low * 100:.1f} to {high * 100:.1f} points"
    right = (
        (better, f"Yes: {between}, which does not include 0.")
        if differs
        else (cannot, f"{between.capitalize()}, which includes 0.")
    )
    wrong = (
        (cannot, f"They can: {between}, which does not include 0.")
        if differs
        else (better, f"Too soon: {between}, which includes 0.")
    )
    return QuestionDraft(
        f"A network gets {test.accuracy:.1%} of {plural(test.n, 'test image')} right. Another one gets "
        f"{other / test.n:.1%} of the same number of other images right. Is the first one better?",
        right,
        [
            wrong,
            (
                "no, figures on other images can never be compared",
                "They can, as two independent samples of the same kind of image; less sharply than "
                "on the same images.",
            ),
        ],
    )


def _four_times(facts: Facts, chance: Random) -> QuestionDraft | None:
    test = facts.test
    if test is None or test.right in (0, test.n):
        return None
    low, high = wilson(test.right, test.n)
    four = wilson(4 * test.right, 4 * test.n)
    if abs((four[1] - four[0]) / (high - low) - 0.5) > 0.02:
        return None  # with this few images or mistakes, the square root does not hold yet
    return QuestionDraft(
        f"The interval of this accuracy is {(high - low) * 100:.1f} points wide. About how many "
        "test images would halve it?",
        (f"{4 * test.n:,}", "The width shrinks with the square root of the number."),
        [
            (f"{2 * test.n:,}", "That only divides it by 1.4."),
            (
                f"{test.n:,}, with a better network",
                "The network's quality changes it a little; the number of images is what counts.",
            ),
            (f"{16 * test.n:,}", "That would quarter it."),
        ],
    )


def _what_the_gap_says(facts: Facts, chance: Random) -> QuestionDraft | None:
    if facts.test is None or facts.trained is None:
        return None
    gap = facts.judged.gap
    memorised = "that it has memorised much of its training images"
    too_long = "that it was trained for too long"
    rest = "that it is worse on new images, though most of its error occurs in training as well"
    small = "that it is worse on new images, but not clearly by a large gap"
    none = "no gap that is clearly more than chance"
    easier = "that the test images are easier for it"
    interval = f"The gap is {_points(gap.size)} (95% interval {100 * gap.low:.1f} to {100 * gap.high:.1f})"
    if gap.is_memorising:
        share = f"{min(1.0, gap.of_the_error):.0%} of the error on test images"
        right, why = memorised, f"{interval} and makes up {share}. That is one meaning of overfitting."
    elif gap.is_large:
        right, why = rest, f"{interval}, and the error on test images is {1 - gap.unseen_accuracy:.1%}."
    elif gap.low > 0.0:
        right, why = small, f"{interval}: above 0, but not all of it above {_points(NORMAL)}."
    elif gap.high >= 0.0:
        right, why = none, f"{interval}, which includes 0."
    else:
        right, why = easier, f"{interval}: all of it is below 0."
    wrong = [
        (
            too_long,
            "That is a validation loss that has turned, which the curve shows, not these two figures.",
        ),
        ("that training was too short", "The curves can show that; two figures at the end cannot."),
        *((text, f"{interval}.") for text in (memorised, none) if text != right),
    ]
    return QuestionDraft(
        f"{facts.trained.accuracy:.1%} of {plural(facts.trained.n, 'training image')} and {facts.test.accuracy:.1%} "
        f"of {plural(facts.test.n, 'test image')} are right. What do these two figures show?",
        (right, why),
        wrong[:3],
    )


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


MAKERS: dict[str, tuple[Maker, ...]] = {
    "objectives": (_chance_level, _sealed),
    "compiling": (_guessing_loss, _sure_and_wrong, _which_loss, _adams_memory),
    "training": (_steps_an_epoch, _turning_point, _overfitting_since, _all_updates),
    "evaluating": (_mistakes, _better_or_not, _four_times, _what_the_gap_says),
}
