"""`conviction cache`: what is in it, how large it may become, and away with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conviction.config import DataSpec
from conviction.data import load_source
from tests.conftest import Cli
from tests.data import builders


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "the cache"
    monkeypatch.setenv("CONVICTION_CACHE", str(folder))
    return folder


def test_the_cache_is_listed_and_cleared(cli: Cli, root: Path, tmp_path: Path) -> None:
    source = builders.folder(tmp_path)
    load_source(source)
    load_source(source, DataSpec(image_size=200))
    table = cli("cache")
    assert table.code == 0, table.err
    head, *rows = table.out.splitlines()
    assert head.startswith(f"{root}: 3.")
    assert head.endswith("MB of at most 20.0 GB.")
    assert [r.split()[:2] for r in rows[-2:]] == [["animals", "24x200x200x3"], ["animals", "24x30x30x3"]]

    listed = cli("cache", "--json", env={"CONVICTION_CACHE_GB": "3"})
    assert listed.code == 0, listed.err
    assert listed.json["cache"] == str(root)
    assert listed.json["limit_bytes"] == 3 * 10**9
    assert [(e["name"], e["shape"]) for e in listed.json["entries"]] == [
        ("animals", [24, 200, 200, 3]),
        ("animals", [24, 30, 30, 3]),
    ]
    assert listed.json["entries"][0]["bytes"] > 24 * 200 * 200 * 3

    cleared = cli("cache", "--clear")
    assert cleared.code == 0, cleared.err
    assert cleared.out.startswith("Removed 3.")
    assert cleared.out.endswith(f"MB from {root}.\n")
    assert [p for p in root.rglob("*") if p.is_file()] == []


def test_an_empty_cache_is_no_error(cli: Cli, root: Path) -> None:
    listed = cli("cache")
    assert (listed.code, listed.err) == (0, "")
    assert listed.out == f"{root}: 0.0 MB of at most 20.0 GB.\n"
    cleared = cli("cache", "--clear", "--json")
    assert (cleared.code, cleared.err) == (0, "")
    assert cleared.json["entries"] == []
    assert cleared.json["freed_bytes"] == 0
    assert not root.exists()


@pytest.mark.usefixtures("root")
def test_a_wrong_bound_is_a_wrong_request(cli: Cli) -> None:
    result = cli("cache", env={"CONVICTION_CACHE_GB": "much"})
    assert result.code == 2
    assert result.out == ""
    assert "CONVICTION_CACHE_GB: expected gigabytes" in result.err
    assert len(result.err.splitlines()) == 1
