"""Users of a machine, their processes, and the environments that they activate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.machine import Machine


def user(machine: Machine, name: str) -> str:
    """Make a user of the machine unless there is one."""
    if machine.run("id", name, check=False).status:
        machine.run("useradd", "--create-home", "--shell", "/bin/bash", name)
    return name


def runs(machine: Machine, pid: int, program: str) -> bool:
    """Tell whether this is what the process runs by now."""
    return machine.path(f"/proc/{pid}/comm").read_text() == f"{program}\n"


def activate(machine: Machine, name: str, pid: int) -> None:
    """Leave on disk what genv leaves when a user activates environment 4242 and attaches device 1."""
    uid = machine.run("id", "--user", name).output.strip()
    moment = "23/11/2026 17:36:19"
    environment = {
        "eid": "4242",
        "uid": int(uid),
        "creation": moment,
        "username": name,
        "config": {"name": "train", "gpu_memory": "4g", "gpus": 1},
        "pids": [pid],
        "kernel_ids": [],
    }
    attachment = {"eid": "4242", "gpu_memory": "4g", "time": moment}
    files = {
        "envs.json": {"envs": [environment]},
        "devices.json": {"devices": [{"index": 1, "total_memory": "15258mi", "attachments": [attachment]}]},
    }
    script = 'umask 0; mkdir -p /var/tmp/genv; printf %s "$2" >/var/tmp/genv/"$1"; : >>/var/tmp/genv/genv.lock'
    for file, content in files.items():
        machine.run("runuser", "-u", name, "--", "sh", "-euc", script, "sh", file, json.dumps(content))
