"""What is said of the machine and of this process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

SAY = "from conviction.runs.environment import peak_memory_bytes; print(peak_memory_bytes())"


def test_peak_memory_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    held = np.ones(2**29, np.uint8)
    done = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, check=True)
    assert held.all()
    assert 2**22 < int(done.stdout) < 2**28


def test_peak_memory_stays_when_the_memory_is_given_back() -> None:
    script = f"import numpy as np; np.ones(2**28, np.uint8); {SAY}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 2**28
