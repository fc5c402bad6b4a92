"""Templates: each is whole, and lies in the room whose code or templates use it."""

from __future__ import annotations

from pathlib import Path

import jinja2.meta
import pytest

import conviction
from conviction.reporting.page import _environment

PACKAGE = Path(conviction.__file__).parent
TEMPLATES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.j2"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_finds_what_it_uses_and_lies_beside_what_uses_it(name: str) -> None:
    environment = _environment()
    environment.get_template(name)
    used = set(jinja2.meta.find_referenced_templates(environment.parse((PACKAGE / name).read_text())))
    assert used <= set(TEMPLATES)
    room = PACKAGE / name.split("/", maxsplit=1)[0]
    users = [path for path in room.rglob("*.*") if path.suffix in (".py", ".j2")]
    assert any(f'"{name}"' in path.read_text() for path in users)
