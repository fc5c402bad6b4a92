"""The lesson: what the lab teaches, in three depths, filled with the numbers of a run."""

from conviction.lesson.facts import Facts, facts_of, recorded_facts
from conviction.lesson.planned import NoRunError
from conviction.lesson.shelf import DEPTHS, Depth, chapters, glossary, references, sheets
from conviction.lesson.topics import TOPICS, read_topic

__all__ = [
    "DEPTHS",
    "TOPICS",
    "Depth",
    "Facts",
    "NoRunError",
    "chapters",
    "facts_of",
    "glossary",
    "read_topic",
    "recorded_facts",
    "references",
    "sheets",
]
