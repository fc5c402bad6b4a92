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
# As on a machine where TensorFlow is not installed.
WITHOUT_TENSORFLOW = """
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ImportError("there is no TensorFlow here")
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bench_gpu(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "benchmarks" / "gpu.py")
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, script, *arguments],
        env=environment(home, {"JAX_PLATFORMS": "cpu"}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.full
@pytest.mark.long
def test_bench_gpu_needs_no_tensorflow_and_says_where_there_is_no_gpu(tmp_path: Path) -> None:
    refused = bench_gpu(home=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "JAX sees no GPU here" in refused.stderr
    done = bench_gpu("--anyway", "--data", "digits", "--epochs", "8", home=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["test_accuracy"] > 0.5, "an epoch in one call learns"
    assert found["images_per_second"] > 0
    assert 0 < found["share_of_peak"] < 1
