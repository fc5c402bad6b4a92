"""A run with each step explained before it is shown."""

from __future__ import annotations

import sys
from pathlib import Path

from conviction.cli.markdown import print_markdown
from conviction.lesson.shelf import table
from conviction.reporting import Step, Terminal


class Guide(Terminal):
    """The terminal, with a few words before each step, and a pause after it if a person is at the terminal."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._patient = sys.stdin.isatty() and sys.stdout.isatty()
        self._begun = False

    def step(self, step: Step) -> None:
        """Explains, then shows."""
        self.close()
        words = table("walkthrough").get(step.title)
        if words:
            if self._begun and self._patient:
                self.console.print("\n[dim]Press Enter to continue.[/]", end="")
                sys.stdin.readline()
            self._begun = True
            print()
            print_markdown(f"> {words['text'].strip()} *More: conviction learn {words['chapter']}*")
        super().step(step)


def walk_through(arguments: list[str], data_dir: Path | None) -> None:
    """Fits ``arguments``, a source and keys, and says at the end how to take a quiz about this run."""
    from conviction.flow.fit import fit

    source, *keys = arguments or ["digits"]
    run = fit(source, keys, data_dir=data_dir, show=Guide())
    print(f"\nTest yourself on this run: conviction learn quiz --run {run.path}")
