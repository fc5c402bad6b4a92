"""Help that lists the members of a family, from the family's table, which is read only when the help is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand


def _sets() -> str:
    from conviction.data import NAMED_SETS

    return ", ".join(NAMED_SETS)


def _kinds() -> str:
    from conviction.data.source import SOURCE_KINDS

    return ", ".join(kind.words for kind in SOURCE_KINDS)


def _formats() -> str:
    from conviction.flow.export import known_formats

    return ", ".join(known_formats())


def _quantizing() -> str:
    from conviction.artefacts.formats import FORMATS

    return " and ".join(form.name for form in FORMATS.values() if form.quantizes)


def _files() -> str:
    from conviction.artefacts.formats import FORMATS

    # Formats that are files, by their suffix; then formats that are folders, by their name.
    forms = sorted(FORMATS.values(), key=lambda form: not form.suffix)
    return ", ".join(form.suffix or form.name for form in forms)


def _questions() -> str:
    from conviction.experiments.questions import QUESTIONS

    return ", ".join(QUESTIONS)


LISTS: dict[str, Callable[[], str]] = {
    "{sets}": _sets,
    "{kinds}": _kinds,
    "{formats}": _formats,
    "{quantizing}": _quantizing,
    "{files}": _files,
    "{questions}": _questions,
}


class ListingCommand(TyperCommand):
    """A command in whose help ``{formats}`` and the like stand for lists; the tables are slow to import."""

    def get_help(self, ctx: Any) -> str:
        """The help, with the lists."""
        for parameter in self.params:
            for name, listed in LISTS.items():
                text = getattr(parameter, "help", None)
                if text and name in text:
                    parameter.help = text.replace(name, listed())  # type: ignore[attr-defined]
        return super().get_help(ctx)
