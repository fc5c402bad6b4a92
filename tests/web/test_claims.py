"""A claim on Explore, in a real Chromium: nothing is told before the guess, and the answer stands beside the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conviction.experiments.measures import MEASURES
from conviction.lesson.claims import claims
from tests.web.labs import Served, to
from tests.web.pages import check_accessibility, opened, shoot
from tests.web.test_exploring import trial

pytestmark = [pytest.mark.browser, pytest.mark.full]


def write_study(folder: Path, name: str) -> None:
    """A finished test of a claim, in which the change gains two points."""
    folder.mkdir(parents=True)
    label = claims()[name].measurements[0].question
    design = {"arms": [[name, label, "cc"]], "base": "aa", "seeds": 2}
    (folder / "design.json").write_text(json.dumps(design))
    lines = [
        trial("aa/0", 0.5, 0.7),
        trial("cc/0", 0.5, 0.72),
        trial("aa/1", 0.5, 0.71),
        trial("cc/1", 0.5, 0.73),
    ]
    (folder / "trials.jsonl").write_text("\n".join(lines) + "\n")
    effect = {"here": 0.725, "there": 0.705, "mean": 0.02, "low": 0.01, "high": 0.03}
    arm = {
        "arm": {"label": label},
        "accuracy": {"mean": 0.02, "low": 0.01, "high": 0.03},
        "detected": True,
        "sentence": f"{label}: +2.0 points.",
    }
    claim = {"name": name, "seeds": 2, "effects": dict.fromkeys(MEASURES, effect)}
    result = {"arms": [arm], "untried": [], "about": ["Two seeds."], "claim": claim}
    (folder / "result.json").write_text(json.dumps(result))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_an_answer_stands_beside_what_was_measured_for_the_lesson(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    study = served.out / "explorations" / "digits-one-block-1"
    if not study.exists():
        write_study(study, "one-block")
    with opened(browser, served.bench, width=width, scheme=scheme) as page:
        to(page, "explore", "?claim=one-block&lesson=claims&about=conv_layers")
        answer = page.locator(".answer")
        answer.get_by_text("That is what was measured on Fashion-MNIST, too.").wait_for()
        rows = answer.locator(".intervals tbody tr").all_inner_texts()
        assert [row.split("\t")[0].split("\n")[0] for row in rows] == [
            "Your pictures",
            "Fashion-MNIST",
            "CIFAR-10 (JPEG)",
        ]
        assert "+2.0 points" in rows[0]
        assert "+1.0 to +3.0 points" in rows[0]
        assert answer.locator(".growing circle").count() == 4
        answer.get_by_text("You will read elsewhere").wait_for()
        shoot(page, f"claim-{width}")
        check_accessibility(page)


def test_a_claim_is_tested_once_it_has_been_guessed(browser: Any, served: Served) -> None:
    with opened(browser, served.bench) as page:
        to(page, "explore", "?claim=third-block")
        card = page.locator("#question-third-block")
        start = card.get_by_role("button", name="Test it")
        start.wait_for()
        assert start.is_disabled()
        assert "read elsewhere" not in card.inner_text()
        assert card.locator(".intervals").count() == 0
        card.get_by_label("Your guess").select_option("higher")
        card.locator("button:not([disabled])").filter(has_text="Test it").click()
        card.get_by_text("You expect: higher").wait_for()
        card.get_by_role("button", name="Stop").click()
        card.get_by_role("button", name="Test it").wait_for()
    (job,) = [json.loads(file.read_text()) for file in served.out.glob(".lab/jobs/*/job.json")]
    assert job["argv"][job["argv"].index("--claim") + 1] == "third-block"
    assert "training.epochs=20" in job["argv"]
    kept = json.loads((served.out.parent / "home" / "learning.json").read_text())
    assert kept["guesses"] == {"third-block": "higher"}
