"""An environment with what ``pip install conviction`` brings alone, as far as imports can tell."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent

# As in an environment that has the listed packages alone.
ONLY = """
import sys
allowed = set(sys.argv[1].split(","))
class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in others and top not in allowed:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
from importlib.metadata import packages_distributions
others = set(packages_distributions())
sys.meta_path.insert(0, Only())
import importlib.util
really = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return really(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
sys.argv = ["conviction", *sys.argv[2:]]
from conviction.cli.main import main
main()
"""


def modules_of(requirements: list[str]) -> set[str]:
    """The top-level modules of these packages and of all that they need, without extras."""
    wanted, seen = [Requirement(line) for line in requirements], set()
    while wanted:
        one = wanted.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name in seen or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        wanted += [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", owner).lower() in seen for owner in owners)
    }


def modules_without_extras() -> set[str]:
    """Those of the dependencies of the project, and its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return modules_of(project["dependencies"]) | {"conviction"}
