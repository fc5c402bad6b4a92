"""Benchmarks that need a machine which is not always at hand still run, at their smallest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent


def bench_gpu(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "benchmarks" / "gpu.py")
    return subprocess.run(
        [sys.executable, script, *arguments],
        env=environment(home, {"JAX_PLATFORMS": "cpu"}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.full
@pytest.mark.long
def test_bench_gpu_measures_the_command_and_says_where_there_is_no_gpu(tmp_path: Path) -> None:
    refused = bench_gpu(home=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "JAX sees no GPU here" in refused.stderr
    done = bench_gpu("--anyway", "--data", "digits", home=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    for figures in (first, second):
        assert figures["test_accuracy"] > 0.9
        assert figures["images_per_second"] > 0
        assert 0 < figures["share_of_peak"] < 1
        assert 0 < figures["training_seconds"] < figures["command_seconds"]
    assert "0.9" in first["seconds_to_validation_accuracy"]
