"""Creates the collectors: those of this machine, or those of the demo."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.config.paths import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.collectors.base import Collector, GpuRequest
    from genvd.config.schema import Config
    from genvd.model.facts import AccountFacts, AccountRequest, GenvFacts, GpuFacts, ProcessFacts, ProcessRequest

log = logging.getLogger(__name__)


class Collectors(NamedTuple):
    """All collectors of a machine, real or simulated."""

    mode: str
    """``live`` or ``demo``."""
    gpus: Collector[GpuRequest, GpuFacts]
    genv: Collector[None, GenvFacts]
    genv_command: Collector[None, bool]
    processes: Collector[ProcessRequest, ProcessFacts]
    accounts: Collector[AccountRequest, AccountFacts]
    bindings_version: str = "unknown"
    """Version of nvidia-ml-py."""
    restart_reason: Callable[[str], str | None] = lambda driver_state: None
    """Returns why only a new process can use a driver in this state; None if this process can."""
    set_interval: Callable[[float], None] = lambda seconds: None
    """Called after a reload with the seconds between two collections. Only the simulated machine needs them."""


def make_collectors(config: Config, demo: int | None) -> Collectors:
    """Return the collectors of this machine, or of a simulated one with ``demo`` GPUs."""
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

        log.warning("demo: everything shown is simulated, a machine with %d GPUs", demo)
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
    from genvd.collectors.nvml.collector import NvmlCollector
    from genvd.collectors.nvml.restart import RestartRule

    genv = GenvStateCollector(state_directory(config))
    return Collectors(
        "live",
        NvmlCollector(),
        genv,
        GenvCommandCollector(),
        _process_collector(),
        AccountCollector(),
        bindings_version=bindings_version(),
        restart_reason=RestartRule().restart_reason,
    )


def _process_collector() -> Collector[ProcessRequest, ProcessFacts]:
    """Return the client of the helper, if there is one; else the collector that reads /proc itself."""
    from genvd.collectors.host.helper_client import ADDRESS_VARIABLE, HelperClient
    from genvd.collectors.host.processes import ProcessCollector

    address = os.environ.get(ADDRESS_VARIABLE)
    return HelperClient(address) if address else ProcessCollector()
