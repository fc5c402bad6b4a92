"""From a text to what a reader sees: placeholders filled, sources cited, first mentions of terms linked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import jinja2
import jinja2.meta
import numpy as np

from conviction.audience import listening
from conviction.evaluation import wilson
from conviction.lesson.by_hand import by_hand
from conviction.lesson.claim_words import command_of
from conviction.lesson.claims import claims
from conviction.lesson.facts import Facts
from conviction.lesson.question import plural
from conviction.lesson.record import Direction, Measurement, measurements
from conviction.lesson.shelf import Reference, glossary, references, sheets, table

GLOSSARY, REFERENCE, CLAIM = "glossary:", "reference:", "claim:"
# Headings of the lists at the end of a text, which are read, never spoken.
MEASUREMENTS, SOURCES = "Measurements", "Sources"

_CITATION = re.compile(r"\[(@[^\]]+)\]")
# What must stay unchanged: fenced and indented code, headings, tables' rules, links, code in a line.
_PROTECTED = re.compile(
    r"^```.*?^```|^ {4}.*?$|^#.*?$|\[[^\]]*\]\([^)]*\)|`[^`\n]*`", re.MULTILINE | re.DOTALL
)


def render(text: str, facts: Facts, *, link: bool = True) -> str:
    """The Markdown that a reader gets.

    Args:
        text: Markdown with Jinja placeholders and citations ``[@key; @key]``.
        facts: What the placeholders are filled from, as ``run``.
        link: Whether terms become links ``glossary:slug``, and what was measured or cited is listed at the end.

    Raises:
        ContradictionError: A text predicts what the record of measurements contradicts.
        jinja2.UndefinedError: A placeholder names what does not exist.
        KeyError: A citation names no source.
    """
    quoted: dict[str, Measurement] = {}

    def measured(name: str, measure: str, predicted: Direction) -> str:
        quoted[name] = measurements()[name]
        return _measured(name, measure, predicted)

    filled = (
        _environment()
        .from_string(text)
        .render(run=facts, sheets=sheets(), published=table("published"), measured=measured)
    )
    filled = re.sub(r"\n{3,}", "\n\n", filled)
    cited = list(dict.fromkeys(key for group in _CITATION.findall(filled) for key in _keys(group)))
    out = _CITATION.sub(lambda match: _cite(_keys(match[1])), filled)
    if not link:
        return out
    return link_terms(out) + _how_measured(quoted.values()) + _sources(references()[key] for key in cited)


def render_line(text: str, facts: Facts) -> str:
    """A sentence of a card or a question, with placeholders filled."""
    return _environment().from_string(text).render(run=facts).strip()


def has_numbers(text: str) -> bool:
    """Whether a text is filled from a run, or is the same for all."""
    return "run" in jinja2.meta.find_undeclared_variables(_environment().parse(text))


def link_terms(text: str) -> str:
    """Makes the first occurrence of each glossary term a link; code, headings and other links stay as they are."""
    pattern, slugs = _terms()
    seen: set[str] = set()

    def once(match: re.Match[str]) -> str:
        slug = slugs[match[0].lower()]
        if slug in seen:
            return match[0]
        seen.add(slug)
        return f"[{match[0]}]({GLOSSARY}{slug})"

    out, at = [], 0
    for part in _PROTECTED.finditer(text):
        out += [pattern.sub(once, text[at : part.start()]), part[0]]
        at = part.end()
    return "".join([*out, pattern.sub(once, text[at:])])


@cache
def _terms() -> tuple[re.Pattern[str], dict[str, str]]:
    """All forms, the longest first, so that 'batch' is not found in 'batch size'."""
    slugs = {form.lower(): t.slug for t in glossary() for form in (t.term, *t.forms)}
    forms = sorted((form for t in glossary() for form in (t.term, *t.forms)), key=len, reverse=True)
    # A capital inside or at the front of a term belongs to it: Adam, ReLU. Others may begin a sentence.
    either = [re.escape(f) if f != f.lower() else f"[{f[0]}{f[0].upper()}]{re.escape(f[1:])}" for f in forms]
    return re.compile(rf"(?<![\w-])({'|'.join(either)})(?![\w-]|\()"), slugs


def short_name(reference: Reference) -> str:
    """``Kingma and Ba, 2015``; three and more authors become ``Zhang et al.``."""
    surnames = re.findall(
        r"(?:^|and |, )([^,]+?), (?:[A-Z]\.|[A-Z]-)", reference.authors.replace(" et al.", "")
    )
    others = " et al." if len(surnames) > 2 or "et al." in reference.authors else ""
    names = surnames[0] + others if others else " and ".join(surnames)
    return f"{names}, {reference.year}"


def full_name(reference: Reference) -> str:
    """As a list of sources has it."""
    return f"{reference.authors} ({reference.year}). *{reference.title}*. {reference.where}."


def _keys(group: str) -> list[str]:
    return [key.strip().removeprefix("@") for key in group.split(";")]


def _cite(keys: list[str]) -> str:
    return f"({'; '.join(f'[{short_name(references()[k])}]({REFERENCE}{k})' for k in keys)})"


def _measured(name: str, measure: str, predicted: Direction) -> str:
    """A measured difference with its interval; ``predicted`` is what the sentence around it claims."""
    return measurements()[name].quote(measure, predicted)


def _how_measured(quoted: Iterable[Measurement]) -> str:
    lines = [f"- {one.about()}.{_how_to_test(one)}" for one in quoted]
    if not lines:
        return ""
    return (
        f"\n\n## {MEASUREMENTS}\n\nEach difference is between the change and its base, with its 95% interval. Each "
        "interval is for one comparison alone: of twenty differences that do not exist, about one would look real. "
        "`make bench-lesson` measures them again.\n\n" + "\n".join(lines) + "\n"
    )


def _how_to_test(measurement: Measurement) -> str:
    """The button of the page, or the command, by which a reader measures it again; empty where there is none."""
    claim = next((c for c in claims().values() if c.records[0] == measurement.name and c.experiment), None)
    if claim is None:
        return ""
    if listening() == "page":
        return f" [Test it on your pictures]({CLAIM}{claim.name})."
    return f" Test it on your own images: `{command_of(claim)}`"


def _sources(cited: Iterable[Reference]) -> str:
    lines = [f"- {full_name(r)} {r.note}" for r in sorted(cited, key=lambda r: (r.authors, r.year))]
    return f"\n\n## {SOURCES}\n\n" + "\n".join(lines) + "\n" if lines else ""


@cache
def _environment() -> jinja2.Environment:
    out = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=False, autoescape=False)
    filters: dict[str, Callable[..., str]] = {
        "n": lambda v: f"{v:,}",
        "pct": lambda v: f"{v:.1%}",
        "f": lambda v, digits: f"{v:.{digits}f}",
        "g": lambda v: f"{v:g}",
        "g2": lambda v: f"{v:.2g}",
        "shape": _times,
        "size": lambda v: _times(v[:2]),
        "times": _times,
        "grid": _grid,
    }
    out.filters.update(filters)
    out.globals.update(
        sqrt=math.sqrt,
        ln=math.log,
        wilson=wilson,
        t975=_t975,
        best_of=_best_of,
        ordinal=_ordinal,
        plural=plural,
        measured=_measured,
        hand=by_hand(),
    )
    return out


def _grid(values: np.ndarray) -> str:
    """(rows, columns) as lines of a code block, the columns below each other."""
    cells = [[f"{value + 0.0:g}" for value in row] for row in values]  # + 0.0: no -0
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join("    " + "  ".join(cell.rjust(width) for cell in row) for row in cells)


def _times(numbers: Iterable[Any]) -> str:
    return "x".join(map(str, numbers))


def _t975(freedom: int) -> float:
    """The 97.5% point of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


@cache
def _best_of(trials: int) -> float:
    """The expected maximum of this many independent standard normal numbers."""
    from scipy.integrate import quad
    from scipy.stats import norm

    return float(quad(lambda x: x * trials * norm.pdf(x) * norm.cdf(x) ** (trials - 1), -8, 8)[0])


def _ordinal(number: int) -> str:
    names = ("first", "second", "third", "fourth", "fifth", "sixth")
    return names[number - 1] if number <= len(names) else f"{number}th"
