"""What the machine and a process on it look like: processor time, resident memory, interpreter build."""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the user and system CPU seconds of a process and all its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _status_mb(pid: int, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None, field
    return round(int(found[1]) / 1024, 1)


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process now, in MiB."""
    return _status_mb(pid, "VmRSS")


def rss_peak_mb(pid: int) -> float:
    """Return the largest resident memory of a process so far, in MiB."""
    return _status_mb(pid, "VmHWM")


def reset_rss_peak(pid: int) -> None:
    """Start the peak anew from what is resident now (needs write access to the process's /proc)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def interpreter() -> dict[str, str]:
    """Return what matters for speed about how this interpreter was built.

    A distribution may optimise in its package's rules (Debian runs `make profile-opt`), which CONFIG_ARGS
    does not show; that is why the builder is named as well.
    """
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS"))
    flags = " ".join(str(sysconfig.get_config_var(name)) for name in ("CFLAGS", "LDFLAGS"))
    distribution = Path(sys.executable).resolve().parent == Path("/usr/bin")
    return {
        "version": sys.version.partition(" ")[0],
        "compiler": platform.python_compiler(),
        "configured_with_enable-optimizations": "yes" if "--enable-optimizations" in arguments else "no",
        "configured_with_lto": "yes" if "--with-lto" in arguments or "-flto" in flags else "no",
        "builder": "the distribution" if distribution else str(Path(sys.executable).resolve()),
    }


def machine() -> dict[str, str]:
    """Return processor, cores, memory, kernel, distribution and how busy the machine is now."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)", cpuinfo, re.MULTILINE)
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory_mb": str(int(memory[1]) // 1024) if memory else "?",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }


def fdatasync_ms() -> float:
    """Return the median time to append 4 KiB to a file in the temporary folder and sync it."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(50):
            began = time.monotonic()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - began)
    return round(statistics.median(times) * 1000, 3)
