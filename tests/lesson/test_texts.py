"""The texts: whole, true, and readable for any run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import norm

import conviction
from conviction.backend import import_keras
from conviction.config import DataSpec, TrainingSpec, load_recipe
from conviction.data import load_source
from conviction.errors import RequestError
from conviction.lesson import (
    DEPTHS,
    TOPICS,
    chapters,
    glossary,
    read_topic,
    recorded_facts,
    references,
    sheets,
)
from conviction.lesson.shelf import aids, cards, table
from conviction.lesson.words import GLOSSARY, REFERENCE, link_terms, short_name
from conviction.training import monitor
from tests.lesson.invented import invented
from tests.test_real_data import data

TEXT = Path(str(resources.files("conviction.lesson"))) / "text"
MARKDOWN = sorted(TEXT.rglob("*.md"))
FENCES = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(TEXT))


def every_text(facts: Any) -> Iterator[tuple[str, str]]:
    for topic in TOPICS:
        for depth in DEPTHS:
            yield f"{topic} {depth}", read_topic(topic, facts, depth)


def prose(markdown: str) -> str:
    """Without code, placeholders, citations and the numbers of lists."""
    out = re.sub(r"^---\n.*?^---\n", "", markdown, count=1, flags=re.MULTILINE | re.DOTALL)
    out = re.sub(
        r"^```.*?^```|^ {4}.*?$|`[^`\n]*`|\[@[^\]]*\]|^\d+\. ", "", out, flags=re.MULTILINE | re.DOTALL
    )
    return PLACEHOLDERS.sub("", out)


def test_the_lesson_has_all_its_parts() -> None:
    assert [chapter.number for chapter in chapters()] == ["1", "2", "3", "4", "4b", "5", "6", "7", "8"]
    assert len(sheets()) == 11
    for folder in ("overview", *(c.name for c in chapters())):
        assert {p.stem for p in (TEXT / folder).glob("*.md")} == set(DEPTHS), folder
    assert {p.stem for p in (TEXT / "conversations").glob("*.md")} == {
        "data",
        "architecture",
        "training",
        "evaluation",
    }
    for chapter in chapters()[1:]:
        assert "## An analogy" in (TEXT / chapter.name / "standard.md").read_text(), chapter.name
    for sheet in sheets():
        heads = re.findall(r"^## (.*)$", sheet.text, re.MULTILINE)
        assert heads == ["Before you try it", "Why", "What to look at afterwards"], sheet.name
    assert {a.kind for a in aids()} == {"steps", "acronym", "rhyme", "story"}
    for chapter in chapters():
        assert any(card.chapter == chapter.name for card in cards()), chapter.name
    for path in (TEXT / "conversations").glob("*.md"):
        assert path.read_text().count("**Learner:**") >= 5
        assert path.read_text().count("**Teacher:**") >= 5


@pytest.mark.parametrize("depth", DEPTHS)
def test_depths_differ_in_length_as_they_say(depth: str) -> None:
    minute = {"quick": (60, 260), "standard": (180, 1600), "deep": (150, 1600)}
    least, most = minute[depth]
    for chapter in chapters():
        words = len(prose((TEXT / chapter.name / f"{depth}.md").read_text()).split())
        assert least <= words <= most, (chapter.name, words)


def test_every_text_can_be_filled_from_the_recorded_run_and_names_its_numbers() -> None:
    facts = recorded_facts()
    whole = dict(every_text(facts))
    for name, text in whole.items():
        assert "{{" not in text, name
        assert "[@" not in text, name
    # What any reader of the lab's network can check by hand.
    assert "the second pooling layer turns 11x11 into 5x5" in re.sub(
        r"\[(\w+)\]\([^)]*\)", r"\1", whole["architecture quick"]
    )
    assert "(3·3·1 + 1)·32" in whole["architecture standard"]
    assert f"{1600 * 128 + 128:,}" in whole["architecture standard"]
    assert "ln(10) = 2.30" in whole["compiling quick"]
    assert f"{-(-54_000 // 64)} [steps an epoch]" in whole["training quick"]


@pytest.mark.parametrize("seed", range(50))
def test_every_text_can_be_filled_from_any_run(seed: int) -> None:
    for name, text in every_text(invented(seed)):
        assert not re.search(r"\{\{|\{%|None|nan\b", text), name


@pytest.mark.parametrize("path", [p for p in MARKDOWN if FENCES.search(p.read_text())], ids=name_of)
def test_code_examples_run_and_fit_the_page(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_keras()
    names: dict[str, Any] = {}
    for block in FENCES.findall(path.read_text()):
        assert max(map(len, block.splitlines())) <= 76, "wider than a terminal shows"
        exec(compile(block, str(path), "exec"), names)


def known_numbers() -> set[str]:
    """The numbers that stand in the texts as they are, each with where it comes from."""
    lab = load_recipe(["recipe=lab"])
    adam = import_keras().optimizers.Adam()
    layers = [layer for layer in lab.model.layers if layer.type in ("Conv2D", "MaxPooling2D", "Dense")]
    of_layers = {str(getattr(layer, "filters", getattr(layer, "units", ""))) for layer in layers}
    return {
        f"{TrainingSpec().learning_rate:g}",  # Keras's and the lab's rate
        f"{adam.beta_1:g}",
        f"{adam.beta_2:g}",
        f"{monitor.BEYOND_NOISE:g}",
        f"{norm.ppf(0.975):.2f}",
        *of_layers,
        *map(str, range(11)),  # small whole numbers: classes of examples, factors in formulas
        "28", "28x28", "3x3", "5x5", "2x2",  # sizes that the sentence itself is about
        "16", "255",  # the ranges of pixels
        str(2 * 3 * 3), str(5 * 5),  # weights of two small kernels and of a large one
        "0.01", "0.1", "0.2", "0.25", "0.3", "0.35", "0.5",  # rates to try
        "51%", "60%", "90%", "91%", "92%", "95%", "99%",  # figures of examples
        "100",
        "4%",  # Prechelt (1998)
        "3.15",  # the Keras whose shuffle was measured
    }  # fmt: skip


def test_numbers_in_the_prose_are_computed_or_known() -> None:
    known = known_numbers()
    found: dict[str, str] = {}
    for path in MARKDOWN:
        for number in re.findall(r"(?<!\w)\d+(?:[.,]\d+)*(?:x\d+)*%?", prose(path.read_text())):
            found.setdefault(number, name_of(path))
    assert {n: where for n, where in found.items() if n not in known} == {}


@pytest.mark.data
@pytest.mark.full
def test_what_is_said_of_the_data_sets_is_true() -> None:
    data("fashion-mnist")
    published = table("published")
    for source, name in (("fashion_mnist", "fashion"), (str(data("cifar10-jpeg75.zip")), "cifar")):
        images = load_source(source, DataSpec(), os.environ["CONVICTION_DATA_DIR"])
        assert len(images) == published[name]
        assert images.rule.height == published[f"{name}_side"]
        assert len(images.class_names) == published[f"{name}_classes"]


def test_terms_are_linked_where_they_first_stand_and_nowhere_else() -> None:
    slugs = {form: t.slug for t in glossary() for form in (t.term, *t.forms)}
    forms = sorted(slugs, key=len, reverse=True)
    pattern = re.compile(rf"\[({'|'.join(map(re.escape, forms))})\]\({GLOSSARY}([\w-]+)\)", re.IGNORECASE)
    used: set[str] = set()
    for name, text in every_text(recorded_facts()):
        linked = [slug for _, slug in pattern.findall(text)]
        assert len(linked) == len(set(linked)), name
        used |= set(linked)
        for form, slug in pattern.findall(text):
            assert slugs.get(form, slugs.get(form[0].lower() + form[1:])) == slug
            before = text[: text.index(f"]({GLOSSARY}{slug})") - len(form) - 1]
            for other in (f for f in forms if slugs[f] == slug):
                earlier = re.search(
                    rf"(?<![\w\[-])[{other[0]}{other[0].upper()}]{re.escape(other[1:])}(?![\w-]|\(|\]\()",
                    plain(before, forms, other),
                )
                assert earlier is None, (name, other, slug)
    assert {t.slug for t in glossary()} - used == set(), "in the glossary, and in no text"


def plain(text: str, forms: list[str], form: str) -> str:
    """What a term may be linked in: no code, headings, links, or longer terms that hold it."""
    out = re.sub(
        r"^```.*?^```|^ {4}.*?$|^#.*?$|\[[^\]]*\]\([^)]*\)|`[^`\n]*`",
        "|",
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
    for longer in forms:
        if form in longer and form != longer:
            out = re.sub(re.escape(longer), "|", out, flags=re.IGNORECASE)
    return out


def test_the_longest_term_wins_and_code_stays_code() -> None:
    said = link_terms("# batch\n\nThe batch size, `batch`, then a batch.\n")
    assert said == (
        f"# batch\n\nThe [batch size]({GLOSSARY}batch-size), `batch`, then a [batch]({GLOSSARY}batch).\n"
    )


def test_links_resolve_and_sources_are_complete() -> None:
    slugs = {t.slug for t in glossary()}
    cited: set[str] = set()
    for name, text in every_text(recorded_facts()):
        for target in re.findall(r"\]\(([^)]*)\)", text):
            if target.startswith(GLOSSARY):
                assert target.removeprefix(GLOSSARY) in slugs, (name, target)
            else:
                assert target.startswith(REFERENCE), (name, target)
                assert target.removeprefix(REFERENCE) in references(), (name, target)
                cited.add(target.removeprefix(REFERENCE))
    # The book is for reading on.
    assert set(references()) - cited == {"chollet2021"}
    for reference in references().values():
        assert all((reference.authors, reference.title, reference.where, reference.note))
        assert 1900 < reference.year < 2030


def test_citations_are_short() -> None:
    said = {key: short_name(reference) for key, reference in references().items()}
    assert said["kingma2015"] == "Kingma and Ba, 2015"
    assert said["wilson1927"] == "Wilson, 1927"
    assert said["zhang2017"] == "Zhang et al., 2017"
    assert said["bouthillier2021"] == "Bouthillier et al., 2021"
    assert said["lecun1998efficient"] == "LeCun et al., 1998"
    assert said["vanlaarhoven2017"] == "van Laarhoven, 2017"
    assert all(re.fullmatch(r"[\w' -]+( et al\.| and [\w' -]+)?, \d{4}", text) for text in said.values()), (
        said
    )


def test_the_glossary_is_in_order_and_says_each_term_once() -> None:
    terms = [t.term.lower() for t in glossary()]
    assert terms == sorted(terms)
    forms = [form.lower() for t in glossary() for form in (t.term, *t.forms)]
    assert len(forms) == len(set(forms))


def test_wrong_topics_are_refused() -> None:
    with pytest.raises(RequestError, match="no topic 'nonsense'"):
        read_topic("nonsense", recorded_facts())
    with pytest.raises(RequestError, match="no word 'nonsense'"):
        read_topic("glossary", recorded_facts(), part="nonsense")
    with pytest.raises(RequestError, match="nothing after it"):
        read_topic("data", recorded_facts(), part="more")


def test_every_line_of_the_coverage_table_leads_somewhere() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "lesson.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)`(?:, ([^|]+))? \|$", page, re.MULTILINE)
    assert len(rows) > 50
    facts = recorded_facts()
    for item, command, heading in rows:
        _, topic, *more = command.removeprefix("conviction ").split()
        depth = more[more.index("--depth") + 1] if "--depth" in more else "standard"
        if topic in ("cards", "quiz"):
            assert not more or more[0] in {c.name for c in chapters()}, item
            continue
        part = more[0] if topic == "glossary" and more else None
        text = read_topic(topic, facts, depth, part)  # type: ignore[arg-type]
        if heading:
            words = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
            assert heading.strip("\"' ") in words, (item, heading)


def test_written_content_has_no_stray_keys() -> None:
    for chapter, asked in table("questions").items():
        assert chapter in {c.name for c in chapters()}
        for question in asked:
            assert set(question) == {"name", "prompt", "right", "wrong"}
            for option in (question["right"], *question["wrong"]):
                assert set(option) == {"text", "why"}, question["name"]
    for path in TEXT.glob("*.yaml"):
        yaml.safe_load(path.read_text())
    for step in table("walkthrough").values():
        assert step["chapter"] in {c.name for c in chapters()}


def test_variants_are_what_keras_builds() -> None:
    from conviction.config import ModelSpec
    from conviction.lesson.variants import CHANGES
    from conviction.model import build

    facts = recorded_facts()
    for name, (_, change) in CHANGES.items():
        spec = ModelSpec(layers=tuple(change(facts.recipe.model.layers)))
        if not facts.change(name).fits:
            continue
        model = build(spec, facts.shape, facts.classes, seed=0)
        assert model.count_params() == facts.change(name).params, name


def test_best_of_is_the_mean_of_the_largest() -> None:
    from conviction.lesson.words import _best_of

    draws = np.random.default_rng(0).standard_normal((100_000, 20)).max(axis=1)
    assert abs(_best_of(20) - draws.mean()) < 0.01


def test_the_package_holds_the_texts() -> None:
    assert (Path(conviction.__file__).parent / "lesson" / "recorded" / "evaluation.json").is_file()
