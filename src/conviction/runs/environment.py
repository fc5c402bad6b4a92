"""What a run ran on."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

from conviction.backend import usable_cores, versions


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and the process, as ``environment.json`` and ``doctor`` show them."""
    packages = ("conviction", "numpy", "pillow", "scikit-learn", "scipy")
    return {
        "versions": {
            "python": platform.python_version(),
            **versions(),
            **{p: metadata.version(p) for p in packages},
        },
        "hardware": {
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "processor": processor_name(),
            "usable_cores": usable_cores(),
            "bfloat16_in_hardware": bfloat16_in_hardware(),
        },
    }


def processor_name() -> str:
    """The processor's model name, or the architecture where the system does not say."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def bfloat16_in_hardware() -> bool | None:
    """Whether this processor multiplies bfloat16 itself (AVX512-BF16 or AMX); None where unknown."""
    flags = _cpuinfo("flags")
    if flags is None:
        return None
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far, in bytes; 0 where the system does not say."""
    if os.name == "nt":
        return 0
    # On Linux, getrusage also counts what the process that started this one held at that moment.
    own = _proc("/proc/self/status", "VmHWM")
    if own:
        return int(own.split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpuinfo(key: str) -> str | None:
    return _proc("/proc/cpuinfo", key)


def _proc(path: str, key: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return None
