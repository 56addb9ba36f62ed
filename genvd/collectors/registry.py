"""Which collectors there are, and which of them are asked: those of this machine, or of a simulated one."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.config.paths import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.collectors.base import Collector, GpuRequest
    from genvd.config.schema import Config
    from genvd.model.facts import AccountFacts, AccountRequest, GenvFacts, GpuFacts, ProcessFacts, ProcessRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collectors:
    """The outside things that a machine consists of, real or simulated."""

    mode: str
    """``live`` or ``demo``."""
    gpus: Collector[GpuRequest, GpuFacts]
    genv: Collector[None, GenvFacts]
    genv_command: Collector[None, bool]
    processes: Collector[ProcessRequest, ProcessFacts]
    accounts: Collector[AccountRequest, AccountFacts]
    bindings_version: str = "unknown"
    """Of the Python library through which the GPUs are asked."""
    restart_reason: Callable[[str], str | None] = lambda driver_state: None
    """Tells, by the state of the driver, why only a new process can use it; None while this one will do."""
    set_interval: Callable[[float], None] = lambda seconds: None
    """Told by a reload how many seconds are from one look to the next; what is real has a clock of its own."""


def make_collectors(config: Config, demo: int | None) -> Collectors:
    """Return what to look at: the real machine, or a simulated one with so many devices."""
    from genvd.collectors.nvml.driver import bindings_version

    if demo is not None:
        from genvd.collectors.demo.machine import (
            DemoAccounts,
            DemoGenv,
            DemoGenvCommand,
            DemoGpus,
            DemoMachine,
            DemoProcesses,
        )

        log.warning("demo: everything shown is simulated, a machine with %d devices", demo)
        machine = DemoMachine(devices=demo, seconds_per_tick=config.collect_interval, epoch=time.time())
        return Collectors(
            "demo",
            DemoGpus(machine),
            DemoGenv(machine),
            DemoGenvCommand(),
            DemoProcesses(machine),
            DemoAccounts(),
            bindings_version=bindings_version(),
            set_interval=machine.set_interval,
        )
    from genvd.collectors.genv.command import GenvCommandCollector
    from genvd.collectors.genv.state import GenvStateCollector
    from genvd.collectors.host.accounts import AccountCollector
    from genvd.collectors.host.processes import ProcessCollector
    from genvd.collectors.nvml.collector import NvmlCollector
    from genvd.collectors.nvml.restart import RestartRule

    genv = GenvStateCollector(state_directory(config))
    return Collectors(
        "live",
        NvmlCollector(),
        genv,
        GenvCommandCollector(),
        ProcessCollector(),
        AccountCollector(),
        bindings_version=bindings_version(),
        restart_reason=RestartRule().restart_reason,
    )
