"""Records the run that the lesson uses where a learner has none: `conviction fit fashion_mnist recipe=lab`, then this.

    python benchmarks/record_lesson.py RUN

Whatever the lesson does not need (the split, the checkpoints, the model) is left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import conviction
from conviction.lesson import facts_of
from conviction.runs import folder, open_run

HERE = Path(conviction.__file__).parent / "lesson" / "recorded"
OF_A_PART = ("n", "loss", "accuracy", "accuracy_ci95", "openings")
OF_A_CLASS = ("name", "support", "recall")


def part(content: dict[str, Any]) -> dict[str, Any]:
    """What the lesson needs to know about a part of the images."""
    kept = {key: content[key] for key in OF_A_PART if key in content}
    return {**kept, "per_class": [{key: c[key] for key in OF_A_CLASS} for c in content["per_class"]]}


def main() -> None:
    """Copies the few numbers."""
    run = Path(sys.argv[1])
    for name in (folder.CONFIG, folder.HISTORY):
        folder.write_text(HERE / name, (run / name).read_text())
    data = json.loads((run / folder.DATA).read_text())
    kept = ("source", "name", "stored", "conversions", "decoding", "class_names", "counts")
    folder.write_json(HERE / folder.DATA, {key: data[key] for key in kept})
    evaluation = json.loads((run / folder.EVALUATION).read_text())
    parts = {name: part(evaluation[name]) for name in ("test", "validation", "train")}
    overfitting = {key: evaluation["overfitting"][key] for key in ("verdict", "since")}
    folder.write_json(HERE / folder.EVALUATION, {**parts, "overfitting": overfitting})
    print(f"Recorded in {HERE}: {facts_of(open_run(HERE)).verdict}.")


if __name__ == "__main__":
    main()
