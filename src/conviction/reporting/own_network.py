"""What is said about a network that a user has built."""

from __future__ import annotations

from conviction.config.model import OwnNetwork
from conviction.reporting.steps import Step


def own_compile_step(own: OwnNetwork) -> Step:
    """Compile: what the user has compiled it with, or that it came trained."""
    if not own.optimizer:
        return Step("Compile", ("The network was given as it is, and is only judged here.",))
    return Step(
        "Compile",
        (f"The network brings its own: optimizer {own.optimizer}; loss {own.loss}.",),
    )
