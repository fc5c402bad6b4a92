"""Every error that conviction raises on purpose.

One base class; each subclass is also the builtin that it resembles, so that library users can catch
either. The command line catches the base class alone and prints its message as one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal

# Why a file of a run cannot be read. A "value" is one that the specification does not take; "special" is a pipe or a
# device; "not begun" is a file that a run which ended early has not written yet.
FileTrouble = Literal[
    "missing",
    "folder",
    "link",
    "special",
    "permission",
    "unreadable",
    "package",
    "newer",
    "value",
    "damaged",
    "not begun",
]

# Names that an error lists, and letters of each: what a file calls its parts is not ours.
MOST_NAMED, MOST_LETTERS = 5, 60


class ConvictionError(Exception):
    """Base of all errors; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class RequestError(ConvictionError, ValueError):
    """The request was wrong: an unknown key, a value out of range, a network that does not fit.

    Attributes:
        key: The key whose value is wrong, such as ``model.layers.0.filters``; empty where the error is not about a key.
        expected: What its value may be, as a clause: ``at least 1``.
        got: The value that came, as a message shows it.
        suggestion: What was probably meant.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, key: str = "", expected: str = "", got: str = "", suggestion: str = ""
    ) -> None:
        super().__init__(message)
        self.key, self.expected, self.got, self.suggestion = key, expected, got, suggestion


class UnknownKeyError(RequestError):
    """A specification has a key that does not exist here; ``key`` is its name."""


class MisfitError(RequestError):
    """A network does not fit its images.

    Attributes:
        index: Of the hidden layer, from 0.
        reason: What about it does not fit, as a clause.
        chain: The shapes up to it, each after the layer that gives it.
    """

    def __init__(self, message: str, index: int = 0, reason: str = "", chain: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.index, self.reason, self.chain = index, reason, chain


class SourceError(RequestError):
    """The images or labels of a source cannot be used as they are."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """There is no such source, or a named set was not found and cannot be downloaded."""

    # FileNotFoundError formats its arguments as an errno pair; one plain sentence is wanted.
    def __str__(self) -> str:
        return str(self.args[0])


class WeightsError(RequestError):
    """The weights of a pretrained network were not found, or are not the published ones."""


class RunError(RequestError):
    """A run folder is missing, damaged, or not what the command needs."""


class RunFileError(RunError):
    """A file of a run cannot be read; ``reason`` says whether that is the file's fault."""

    def __init__(self, message: str, reason: FileTrouble = "damaged") -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def state(self) -> str:
        """The one word for such a run in a list of runs: ``damaged``, ``unreadable`` or ``unfinished``."""
        if self.reason == "not begun":
            return "unfinished"
        return "damaged" if self.reason in ("damaged", "missing") else "unreadable"


class ArtefactError(RequestError):
    """An exported model is damaged, of another kind, or holds what a network does not need."""


class ParityError(ConvictionError, ValueError):
    """An exported model does not give the answers of the model that was tested; it was not kept."""


class StorageError(ConvictionError, OSError):
    """The machine could not store something: no space is left, or a device fails."""

    def __str__(self) -> str:
        return str(self.args[0])


class OutputError(RequestError, OSError):
    """The output place cannot be used: not empty, not a folder, no permission."""

    def __str__(self) -> str:
        return str(self.args[0])


class TrainingError(ConvictionError, RuntimeError):
    """Training itself failed, for example because the loss is no longer a number."""


class StudyError(ConvictionError, RuntimeError):
    """An exploration or a search ended without an answer, because what it needed did not finish; its folder is kept."""


class ClusterError(ConvictionError, RuntimeError):
    """A cluster was lost, or cannot do what it was asked: a node without the data, a storage that refuses.

    It is not an ``OSError``, because a single picture that cannot be read raises one.
    """


class EvaluationError(ConvictionError, ValueError):
    """Predictions cannot be scored, for example because they are not numbers."""


class WrongAnswerError(ConvictionError, AssertionError):
    """What a learner wrote for an exercise answers wrongly."""


class Interrupted(ConvictionError):
    """A signal ended the run; what it had done is kept.

    ``exit_code`` is 128 + the signal's number, as shells report it (130 SIGINT, 143 SIGTERM).
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[Any, ...]:
        return (Interrupted, (str(self), self.exit_code - 128))


# A longer text is not a misspelt word, and comparing it takes long.
MOST_COMPARED = 100


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most similar to this one; empty if none is similar."""
    if len(word) > MOST_COMPARED:
        return ""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ``" Did you mean 'x'?"`` for the nearest known word, or an empty string."""
    near = nearest(word, known)
    return f" Did you mean '{near}'?" if near else ""


def printable(text: str, most: int = MOST_LETTERS) -> str:
    """Text from a file as part of a sentence: its beginning, on one line, with nothing that a terminal would obey.

    >>> printable("a\\n\\x1b[2Jb", 7)
    'a ?[2Jb'
    """
    line = " ".join(text[: 4 * most].split())[:most]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def listed_names(names: Iterable[str]) -> str:
    """Names from a file as part of a sentence: a few of them, in order.

    >>> listed_names(["b", "a", "a"])
    'a, b'
    """
    each = sorted(set(names))
    shown = ", ".join(printable(name) for name in each[:MOST_NAMED])
    return shown + (f" and {len(each) - MOST_NAMED} more" if len(each) > MOST_NAMED else "")
