"""What a run ran on."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

from conviction.backend import bfloat16_in_hardware, gpu_names, proc_value, usable_cores, versions

PACKAGES = ("conviction", "numpy", "pillow", "scikit-learn", "scipy")


def describe_environment(*, backend: bool = True) -> dict[str, Any]:
    """Versions, hardware and the process, as ``environment.json`` and ``doctor`` show them.

    Args:
        backend: Whether Keras and its backend are among them, which are then imported.
    """
    return {
        "versions": {
            "python": platform.python_version(),
            **(versions() if backend else {}),
            **{p: version for p in PACKAGES if (version := _installed(p))},
        },
        "hardware": {
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "processor": processor_name(),
            "usable_cores": usable_cores(),
            "bfloat16_in_hardware": bfloat16_in_hardware(),
            **({"gpus": gpu_names()} if backend else {}),
        },
    }


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def processor_name() -> str:
    """The processor's model name, or the architecture where the system does not say."""
    return proc_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far, in bytes; 0 where the system does not say."""
    if os.name == "nt":
        return 0
    # On Linux, getrusage also counts what the process that started this one held at that moment.
    own = proc_value("/proc/self/status", "VmHWM")
    if own:
        return int(own.split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
