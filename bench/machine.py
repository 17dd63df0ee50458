"""The machine that a run was made on, and how much of it was left for the run.

Figures in absolute units say nothing without it. Other work on the machine is told by the processor time that was
neither idle nor spent below this process.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures depend on besides the code."""

    processor: str
    n_cores: int
    memory_gb: float
    kernel: str
    python: str
    envoy: str
    load_before: float
    """Runnable processes just before the run (one minute's mean): 0 is a quiet machine."""
    load_after: float = 0.0
    """The same right after the run, whose own work is in it."""
    stolen_percent: float = 0.0
    """Processor time that the hypervisor gave to others during the run."""


class ProcessorTime(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks of all processors since boot."""

    total: int
    stolen: int
    idle: int

    def busy_seconds_since(self, before: ProcessorTime) -> float:
        """Processor time that all processes of the machine have used since `before`."""
        return (self.total - self.idle - before.total + before.idle) / os.sysconf("SC_CLK_TCK")

    def stolen_percent_since(self, before: ProcessorTime) -> float:
        """The share of the time since `before` that was stolen, in percent."""
        return 100 * (self.stolen - before.stolen) / max(1, self.total - before.total)


def processor_time() -> ProcessorTime:
    """The ticks until now."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return ProcessorTime(total=sum(ticks[:8]), stolen=ticks[7], idle=ticks[3] + ticks[4])


def this_machine(envoy_version: str) -> Machine:
    """The machine as it is now."""
    return Machine(
        processor=_field("/proc/cpuinfo", "model name") or platform.machine(),
        n_cores=len(os.sched_getaffinity(0)),
        memory_gb=round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        envoy=envoy_version,
        load_before=round(os.getloadavg()[0], 1),
    )


def after_run(machine: Machine, before: ProcessorTime) -> Machine:
    """The machine with what was seen of it during the run."""
    stolen = round(processor_time().stolen_percent_since(before), 1)
    return msgspec.structs.replace(machine, load_after=round(os.getloadavg()[0], 1), stolen_percent=stolen)


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
