"""``conviction doctor``: what this machine has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from conviction.cli.options import DataDir, Json, print_json


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check this machine: versions, backend, devices, cores, bfloat16, data sets."""

    diagnosis = diagnose(data_dir)
    if as_json:
        print_json(diagnosis)
    else:
        print_diagnosis(diagnosis)


def diagnose(data_dir: Path | None) -> dict[str, Any]:
    """Versions, backend, devices, cores, whether bfloat16 is in hardware, where data sets are found."""
    from conviction.backend import import_keras, quiet_stderr
    from conviction.data.named import NAMED_SETS, data_folders, find_in
    from conviction.evaluation.ledger import ledger_path
    from conviction.extras import MissingPackageError
    from conviction.runs.environment import describe_environment

    devices, lacks = [], ""
    try:
        with quiet_stderr():
            devices = list(import_keras().distribution.list_devices()) or ["cpu"]
    except MissingPackageError as failure:
        lacks = str(failure)
    folders = data_folders(data_dir)
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"
    data_sets: dict[str, str | None] = {"digits": "scikit-learn"}
    for name in NAMED_SETS:
        if name != "digits":
            paths = [find_in(f, name) for f in [*folders, cache]]
            data_sets[name] = next((str(p) for p in paths if p), None)
    return {
        **describe_environment(backend=not lacks),
        "lacks": lacks,
        "devices": devices,
        "data_folders": [str(f) for f in folders],
        "data_sets": data_sets,
        "ledger": str(ledger_path()),
    }


def print_diagnosis(diagnosis: dict[str, Any]) -> None:
    """The same for people, on stdout."""
    for name, version in diagnosis["versions"].items():
        print(f"{name:<24}{version}")
    print()
    for name, value in diagnosis["hardware"].items():
        text = ", ".join(value) or "none" if isinstance(value, list) else value
        text = {True: "yes", False: "no", None: "unknown"}[text] if text in (True, False, None) else text
        print(f"{name.replace('_', ' '):<24}{text}")
    if diagnosis["lacks"]:
        print(f"{'training':<24}not here: {diagnosis['lacks']}")
    else:
        print(f"{'devices':<24}{', '.join(diagnosis['devices'])}")
    print()
    folders = ", ".join(diagnosis["data_folders"]) or "none (set CONVICTION_DATA_DIR or use --data-dir)"
    print(f"{'data folders':<24}{folders}")
    for name, path in diagnosis["data_sets"].items():
        print(f"{name:<24}{path or 'not here; Keras downloads it when it is needed'}")
    print(f"{'ledger of openings':<24}{diagnosis['ledger']}")
