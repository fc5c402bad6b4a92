"""Exercises of the course: a learner writes a function, and the product says what it gets right and what it mistakes.

An exercise is one module in ``tasks``: its solution, whose signature and docstring are the task; cases, the smallest
first; and wrong solutions, each with the mistake in words. A learner's function runs in a process of its own
(``sandbox``), with bounds on time, memory and what it may import. What it answers is compared with what the solution
and the wrong solutions answer, so a mistake is recognised by what it does and not by how it is written.
"""

from __future__ import annotations

from pathlib import Path

# Where a learner's files are by default: in the folder in which they work.
DIRECTORY = Path("exercises")
