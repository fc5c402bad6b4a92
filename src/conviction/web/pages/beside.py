"""Two runs side by side on the same images: how far apart they are, and whether chance explains it."""

from __future__ import annotations

from nicegui import ui

from conviction.data.findings import plural
from conviction.evaluation import Pair
from conviction.web.elements.intervals import Estimate, difference_table, interval_table, points
from conviction.web.elements.plain import heading, link, paragraph, tag
from conviction.web.jobs.progress import RunStatus
from conviction.web.pages.evaluated import Compared
from conviction.web.pages.page import PageContext

MOST_LISTED = 8


def choose_beside(page: PageContext, run: RunStatus) -> str:
    """Links to the runs that this one can be put beside; none where it is the only one on its images.

    Returns:
        The name of the one that the address asks for; empty if it asks for none that is here.
    """
    others = [
        status.path.name
        for status in page.lab.runs(page.owner)
        if status.is_done and status.source == run.source and status.path != run.path
    ]
    if not others:
        return ""
    asked = page.query.get("beside", "")
    chosen = asked if asked in others else ""
    with tag("nav", "", "beside", aria_label="Compare with another run"):
        tag("span", "Compare with:", "soft")
        for name in ["", *others[:MOST_LISTED]]:
            current = {"aria_current": "page"} if name == chosen else {}
            link(
                name or "none",
                page.to("evaluate", run.path.name, **({"beside": name} if name else {})),
                **current,
            )
    return chosen


def show_beside(result: Compared) -> None:
    """Shows the comparison of two runs."""
    first, second = result.accuracies
    heading(f"{second.name} compared with {first.name}")
    with tag("p", "", "headline"):
        tag("b", f"{points(result.pair.difference)} points")
        tag(
            "span",
            f" is the accuracy of {second.name} minus that of {first.name}, in percentage points, on the same "
            f"{result.images:,} {result.part} images.",
        )
    interval_table(result.accuracies, "Accuracy of both runs")
    difference = Estimate("difference", result.pair.difference, result.pair.difference_ci95)
    difference_table(difference, "The difference of their accuracies")
    with tag("div", "", "verdict"):
        tag("b", better(first.name, result.pair))
    _tosses(first.name, result.pair)
    paragraph(
        "Two trainings are compared. With another seed each would come out a little differently, and the test does not "
        "account for that."
    )
    if result.pair.folds_sentence:
        paragraph(result.pair.folds_sentence)
    with tag("details"):
        tag("summary", "What limits this")
        for note in result.notes:
            paragraph(note)
    ui.html(result.contrasts, sanitize=False).classes("report")


def better(first: str, pair: Pair) -> str:
    """Which of the two is better on such images, if the test can tell."""
    if not pair.is_detected:
        return "These images do not show which of the two networks is better"
    return f"On images like these, the network of {pair.run if pair.difference > 0 else first} is better"


def _tosses(first: str, pair: Pair) -> None:
    """McNemar's test as what it is: coins for the images on which one alone is right."""
    disagree = pair.first_only + pair.other_only
    if not disagree:
        paragraph("There is no image that one of them gets right and the other wrong.")
        return
    with tag("div", "", "duel", role="img", aria_label=duel_words(first, pair)) as drawn:
        tag("span", f"{first} alone is right on {pair.first_only:,}")
        tag("span", f"{pair.run} alone on {pair.other_only:,}")
    drawn.style(f"--first: {pair.first_only / disagree:.4f}")
    paragraph(
        f"On {plural(disagree, 'image')}, exactly one of the two is right. If both were equally good, the toss of a "
        "fair coin could decide which one, image by image. A split at least as uneven as this would then come up with "
        f"a probability of {percent(pair.p_value)} (McNemar's exact test)."
    )


def duel_words(first: str, pair: Pair) -> str:
    """The drawing in words."""
    return f"{first} alone is right on {pair.first_only:,} images, {pair.run} alone on {pair.other_only:,}"


def percent(share: float) -> str:
    """A probability for people: ``4.3%``, and below a thousandth no more digits than mean something.

    >>> [percent(p) for p in (1.0, 0.043, 1e-9)]
    ['100%', '4.3%', 'less than 0.1%']
    """
    return "less than 0.1%" if share < 0.001 else f"{100 * share:.2g}%" if share < 0.1 else f"{share:.0%}"
