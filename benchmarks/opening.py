"""``make bench-opening``: what it costs that a model file is first opened in a process with limits.

    python benchmarks/opening.py [--repeat N]

For each format, in turns: a fresh Python that opens an export of the lab's network and classifies one picture, once as
``conviction.load`` does and once by the format's reader alone, without the other process. Copy what it prints to
docs/measurements.md.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import conviction
from conviction.artefacts.formats import FORMATS

ONE = "opened.predict_pixels(np.zeros((1, *opened.rule.shape), np.uint8))"
WAYS = {
    "in a process with limits": "from conviction.artefacts import load\nopened = load(sys.argv[2])",
    "by the reader alone": (
        "from pathlib import Path\nfrom conviction.artefacts.formats import FORMATS\n"
        "opened = FORMATS[sys.argv[1]].read(Path(sys.argv[2]), None)"
    ),
}


def seconds(form: str, path: Path, way: str) -> float:
    """Wall clock of a fresh Python."""
    started = time.perf_counter()
    code = f"import sys\nimport numpy as np\n{WAYS[way]}\n{ONE}"
    subprocess.run([sys.executable, "-c", code, form, str(path)], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=7)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder:
        run = conviction.fit("digits", {"training.epochs": 1}, recipe="lab", out=Path(folder, "run"))
        made = {e.format: e.path for e in conviction.export(run.path, list(FORMATS))}
        print("| format | by the reader alone | in a process with limits | ratio |\n|---|---|---|---|")
        for form, path in made.items():
            times: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(repeat):
                for way in WAYS:
                    times[way].append(seconds(form, path, way))
            limited, alone = (statistics.median(times[way]) for way in WAYS)
            ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
            print(f"| {FORMATS[form].title} | {alone:.2f} s | {limited:.2f} s | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
