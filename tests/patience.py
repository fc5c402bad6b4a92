"""How long a test waits for what must come: a limit ends what hangs, and says nothing about speed."""

from __future__ import annotations

from typing import Any

# Seconds; far above what anything here takes, even on a machine with ten times its load.
PATIENCE = 1_200.0


def new_context(browser: Any, **options: Any) -> Any:
    """A browser context of its own, like a new window of somebody else; its pages wait as long."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE * 1_000)
    return context
