"""Who reads the messages of this process, so that every remedy in them exists for that reader.

A person at a terminal has commands and options, a program has functions and arguments, and a page has buttons. What is
computed is the same for all of them; only these functions know the difference. A library speaks to programs until the
command line or the page says otherwise.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal, get_args

Audience = Literal["terminal", "python", "page"]
AUDIENCES: tuple[Audience, ...] = get_args(Audience)
# Passed on to the processes that a command or the page starts: the same people read their messages.
VARIABLE = "CONVICTION_AUDIENCE"
# Names the file in which ``fit`` and ``resume`` write down what happens, for a page that watches.
JOURNAL = "CONVICTION_JOURNAL"

_named = os.environ.get(VARIABLE)
_now: Audience = next((one for one in AUDIENCES if one == _named), "python")


def speak_to(audience: Audience) -> None:
    """From now on, messages of this process and those it starts are for these readers; for programs, not libraries."""
    global _now
    _now = audience
    os.environ[VARIABLE] = audience


def listening() -> Audience:
    """Who reads the messages of this process."""
    return _now


def audience_of_command() -> Audience:
    """Who reads the messages of a command: people at a terminal, unless the page has started it."""
    return "page" if os.environ.get(VARIABLE) == "page" else "terminal"


def option(name: str, argument: str = "") -> str:
    """What a setting of a command is called: ``--data-dir``, ``data_dir`` from Python.

    Args:
        name: As in the command line, without its dashes.
        argument: As in Python; by default the same word.

    >>> option("data-dir")
    'data_dir'
    """
    if _now == "terminal":
        return f"--{name}"
    return argument or name.replace("-", "_") if _now == "python" else f"'{name.replace('-', ' ')}'"


def on_ray() -> str:
    """What asks for a Ray cluster: ``--on ray``, ``on='ray'`` from Python."""
    return {"terminal": "--on ray", "python": "on='ray'", "page": "on Ray"}[_now]


def run_name(path: Path) -> str:
    """A run as its readers know it: by its folder, and on the page, which shows no folders, by its name.

    >>> run_name(Path("runs/digits-1"))
    'runs/digits-1'
    """
    return path.name if _now == "page" else str(path)


def if_moved() -> str:
    """What to do if the images of a run have been moved, in a sentence."""
    return {
        "terminal": "If they have been moved, say where they are now with --source.",
        "python": "If they have been moved, say where they are now: run.set_source('...').",
        "page": "If they have been moved, put them back there.",
    }[_now]


def by_key(pair: str) -> str:
    """`` (data.on_leak=drop)``: the key of the specification behind a sentence; empty on the page, which has no keys.

    >>> by_key("data.on_leak=drop")
    ' (data.on_leak=drop)'
    """
    return "" if _now == "page" else f" ({pair})"


def without_home(path: Path | str) -> str:
    """A path as anybody may see it: the home folder, which often has a person's name, is ``~``.

    >>> without_home("pictures/cats")
    'pictures/cats'
    """
    text = str(path)
    for home in (os.path.expanduser("~"), os.path.realpath(os.path.expanduser("~"))):
        if len(Path(home).parts) > 1 and (text == home or text.startswith(home + os.sep)):
            return f"~{text[len(home) :]}"
    return text


def typed(path: Path | str) -> str:
    """A path as it is typed in a shell, without the name of the home folder.

    >>> typed("my pictures")
    "'my pictures'"
    """
    text = without_home(path)
    # In quotes, the shell would not read the tilde.
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") and text[2:] else shlex.quote(text)


# Where the page offers the same.
_BUTTONS = {
    "resume": "the button Resume at Train",
    "evaluate": "the button 'Open the test set' at Evaluate",
    "export": "the buttons at Take away",
}


def call(verb: str, run: Path | str, words: str = "", arguments: str = "") -> str:
    """What does something with a run: a command to type, a function to call, or a button.

    Args:
        verb: A command with one run folder, which is a function of the same name.
        run: The folder.
        words: What follows it in the command.
        arguments: What follows it in the call.

    >>> call("resume", "runs/digits-1", "training.epochs=4", "['training.epochs=4']")
    "conviction.resume('runs/digits-1', ['training.epochs=4'])"
    """
    if _now == "page":
        return _BUTTONS[verb]
    if _now == "terminal":
        return f"conviction {verb} {typed(run)} {words}".rstrip()
    return f"conviction.{verb}({', '.join([repr(without_home(run)), *([arguments] if arguments else [])])})"


class Remedy(StrEnum):
    """What can be done about a finding of the audit, in a sentence for each audience."""

    NOTHING = ""
    LEAVE_OUT = "leave_out"
    DROP_LEAKS = "drop_leaks"
    FIT = "fit"
    BALANCE = "balance"
    GROUP_SESSIONS = "group_sessions"

    def words(self, audience: Audience | None = None) -> str:
        """The sentence for this audience; empty where there is nothing to do."""
        return _REMEDIES[self][audience or _now] if self else ""


_REMEDIES: Mapping[Remedy, Mapping[Audience, str]] = {
    Remedy.LEAVE_OUT: {
        "terminal": "conviction inspect --out FILE.csv lists them, and conviction fit --exclude FILE.csv leaves them "
        "out.",
        "python": "conviction.inspect(source, out='list.csv') lists them, and fit leaves them out with the key "
        "data.exclude.",
        "page": "At Data, Audit, you can leave them out of every part with a button; Undo brings them back.",
    },
    Remedy.DROP_LEAKS: {
        "terminal": "data.on_leak=drop, the default, leaves them out of training.",
        "python": "The key data.on_leak with the value 'drop', the default, leaves them out of training.",
        "page": "They are left out of training here.",
    },
    Remedy.FIT: {
        "terminal": "data.fit=crop keeps the middle of each picture, data.fit=pad keeps all of it and leaves the rest "
        "black, data.fit=stretch changes its shape; or choose a data.image_size=[HEIGHT,WIDTH] closer to that of the "
        "pictures.",
        "python": "With the key data.fit, the value 'crop' keeps the middle of each picture, 'pad' keeps all of it and "
        "leaves the rest black, and 'stretch' changes its shape; or set data.image_size, height and width, closer to "
        "that of the pictures.",
        "page": "At Reshape you can choose whether such pictures are stretched, keep only their middle, or are kept "
        "whole with black beside them.",
    },
    Remedy.GROUP_SESSIONS: {
        "terminal": "data.group=auto keeps each session in one part.",
        "python": "The key data.group with the value 'auto' keeps each session in one part.",
        "page": "With 'Keep pictures of one session together' at Data, Split, each session stays in one part.",
    },
    Remedy.BALANCE: {
        "terminal": "With training.class_weights=balanced each class counts the same in the loss.",
        "python": "With the key training.class_weights and the value 'balanced' each class counts the same.",
        "page": "With 'Classes in the loss' at Compile each class can count the same.",
    },
}
