"""Writes the pages of the documentation that are made from the program: its commands, and the list of decisions.

    python scripts/docs.py [--check]

With ``--check`` it writes nothing, and ends with exit code 1 if a page is not what it would write.
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer.main
from typer.testing import CliRunner

from conviction.cli.main import app

DOCS = Path(__file__).parents[1] / "docs"
SHELL = {"COLUMNS": "80", "NO_COLOR": "1"}


def commands() -> str:
    """What each command says of itself."""
    lines = ["# Commands", "", "What `conviction COMMAND --help` prints.", ""]
    pages = []
    command = typer.main.get_command(app)
    for name, one in command.commands.items():  # type: ignore[attr-defined]
        lines.append(f"- [`conviction {name}`](#conviction-{name}): {one.help.strip().splitlines()[0]}")
        shown = CliRunner().invoke(app, [name, "--help"], prog_name="conviction", env=SHELL).output
        pages += ["", f"## `conviction {name}`", "", "```text", shown.strip(), "```"]
    return "\n".join([*lines, *pages]) + "\n"


def decisions() -> str:
    """A link to each decision, by its title."""
    lines = ["# Decisions", "", "What was decided, why, and what follows from it.", ""]
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title = path.read_text().splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


PAGES = {"reference/commands.md": commands, "decisions/index.md": decisions}


def main() -> None:
    """Writes or checks all pages."""
    other = []
    for name, content in PAGES.items():
        page, text = DOCS / name, content()
        if not page.is_file() or page.read_text() != text:
            other.append(name)
            if "--check" not in sys.argv[1:]:
                page.write_text(text)
    if other and "--check" in sys.argv[1:]:
        sys.exit(f"{', '.join(other)}: not as the program is now; run make docs")


if __name__ == "__main__":
    main()
