"""``genv-monitor report`` by those who may not read the ledger's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.standin import Gpu, Process
from tests.support.waiting import wait_for
from tests.system.people import activate
from tests.system.service import QUICK, Service

LEDGER = f"{QUICK}ledger:\n  write_interval: 1s\n"


def test_everybody_may_see_who_used_how_much(
    stopped: Service, nvml_library: Path, sleepers: dict[str, int], alice: str, bob: str
) -> None:
    """Alice has a GPU in an environment, Bob computes on another one without. Who they are is not asked."""
    service = stopped
    service.install_driver(nvml_library)
    scenario = service.scenario()
    scenario.gpus = [
        Gpu("GPU-0", processes=[Process(sleepers[bob], 3 << 30)]),
        Gpu("GPU-1", processes=[Process(sleepers[alice], 2 << 30)]),
    ]
    scenario.write()
    activate(service.machine, alice, sleepers[alice])
    service.configure(LEDGER)
    service.systemctl("start", service.unit)

    def report(name: str, *options: str) -> Any:
        command = ("runuser", "-u", name, "--", "genv-monitor", "report", "--format", "json", *options)
        done = service.machine.run(*command, check=False)
        return json.loads(done.output) if done.status == 0 else {"rows": []}

    def seconds(name: str, *options: str) -> dict[str, tuple[bool, bool]]:
        """Return which users have attached and outside time, in the report that this user gets."""
        return {
            row["username"]: (row["allocated_device_seconds"] > 0, (row["outside_device_seconds"] or 0) > 0)
            for row in report(name, *options)["rows"]
        }

    expected = {alice: (True, False), bob: (False, True)}
    for name in (alice, bob, "root"):
        wait_for(lambda name=name: seconds(name) == expected, f"{name} sees both")  # type: ignore[misc]
    assert seconds(bob, "--me") == {bob: (False, True)}

    service.configure(f"{LEDGER}usage:\n  visible: own\n")
    service.systemctl("reload", service.unit)
    wait_for(lambda: report(alice).get("private"), "only sums are shown")
    assert report(alice)["rows"] == []
    assert report(alice)["capacity_device_seconds"]["outside"] > 0
    assert seconds("root") == expected
