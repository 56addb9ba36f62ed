"""What started a process, from cgroups as they are on many kinds of machine."""

from __future__ import annotations

import pytest

from genvd.collectors.host.cgroups import Cgroup, parse_cgroup
from genvd.common.text import MAX_TEXT

ID = "3f1c" * 16
OTHER = "0a9b" * 16


def v1(path: str, systemd: str | None = None) -> str:
    return (
        f"12:pids:{path}\n11:cpu,cpuacct:{path}\n10:devices:{path}\n9:freezer:/\n"
        f"1:name=systemd:{systemd or path}\n0::{systemd or '/'}\n"
    )


CONTAINERS = {
    "Docker, systemd driver": f"0::/system.slice/docker-{ID}.scope\n",
    "Docker, version 1": v1(f"/docker/{ID}"),
    "a service in a Docker container": f"0::/system.slice/docker-{ID}.scope/system.slice/cron.service\n",
    "Docker in Docker": f"0::/docker/{OTHER}/docker/{ID}\n",
    "rootless Docker": f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope\n",
    "Podman": f"0::/machine.slice/libpod-{ID}.scope/container\n",
    "rootless Podman": f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container\n",
    "Podman, version 1": v1(f"/machine.slice/libpod-{ID}.scope"),
    "Kubernetes, containerd": "0::/kubepods.slice/kubepods-burstable.slice/"
    f"kubepods-burstable-pod0c1d2e3f_aaaa.slice/cri-containerd-{ID}.scope\n",
    "Kubernetes, CRI-O": f"0::/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope\n",
    "Kubernetes, cgroupfs": v1(f"/kubepods/besteffort/pod0c1d2e3f-aaaa/{ID}"),
    "Kubernetes, colons": v1(f"/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:{ID}"),
    "Kubernetes in Docker": f"0::/docker/{OTHER}/kubelet.slice/kubepods.slice/cri-containerd-{ID}.scope\n",
    "nerdctl": f"0::/default/{ID}\n",
    "seen from a container beside": f"0::/../docker-{ID}.scope\n",
}
OTHERS = {
    "0::/lxc.payload.web-1/init.scope\n": Cgroup("container", "web-1"),
    "0::/lxc/web-1/system.slice/cron.service\n": Cgroup("container", "web-1"),
    "0::/lxc.payload/web-1\n": Cgroup("container", "web-1"),
    "0::/lxc.monitor.web-1\n": None,
    "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope\n": None,
    "0::/machine.slice/machine-debian.scope/payload\n": Cgroup("container", "debian"),
    v1("/slurm/uid_1000/job_4711/step_batch/task_0", "/system.slice/slurmd.service"): Cgroup("slurm", "4711"),
    v1("/slurm_node7/uid_1000/job_4711/step_0"): Cgroup("slurm", "4711"),
    "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n": Cgroup("slurm", "4711"),
    "0::/system.slice/node7_slurmstepd.scope/job_4711/step_extern\n": Cgroup("slurm", "4711"),
    "0::/system.slice/slurmstepd.scope/sBR1JB8J1YM400/step_0/user/task_0\n": Cgroup("slurm", "sBR1JB8J1YM400"),
    "0::/system.slice/node7_slurmstepd.scope/s5K1KKYAYG5D00/step_batch\n": Cgroup("slurm", "s5K1KKYAYG5D00"),
    "0::/system.slice/slurmstepd.scope/s5K1KKYAYG5D00\n": Cgroup("slurm", "s5K1KKYAYG5D00"),
    v1("/slurm/uid_1000/s5K1KKYAYG5D00/step_0"): Cgroup("slurm", "s5K1KKYAYG5D00"),
    "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/s5K1KKYAYG5D00\n": Cgroup("slurm", "4711"),
    "0::/system.slice/slurmstepd.scope/system\n": None,
    "0::/system.slice/slurmstepd.scope/s5K1KKYAYG5DIL\n": None,  # not a digit of base 32
    "0::/user.slice/user-1000.slice/session-3.scope\n": Cgroup("session", "session-3.scope"),
    "0::/user.slice/user-0.slice/session-c1.scope\n": Cgroup("session", "session-c1.scope"),
    v1("/user.slice", "/user.slice/user-1000.slice/session-3.scope"): Cgroup("session", "session-3.scope"),
    "0::/system.slice/jupyterhub.service\n": Cgroup("service", "jupyterhub.service"),
    "0::/system.slice/system-jupyter.slice/jupyter@alice.service\n": Cgroup("service", "jupyter@alice.service"),
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope\n": Cgroup("service", "user@1000.service"),
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vnc.service\n": Cgroup("service", "vnc.service"),
    "0::/system.slice/gone.service (deleted)\n": Cgroup("service", "gone.service"),
    # Names that users may give their own cgroups
    "0::/user.slice/user-1000.slice/user@1000.service/system.slice/slurmstepd.scope/job_1\n": Cgroup(
        "service", "user@1000.service"
    ),
    "0::/user.slice/user-1000.slice/user@1000.service/user.slice/user-0.slice/session-1.scope\n": Cgroup(
        "service", "user@1000.service"
    ),
    "0::/user.slice/user-1000.slice/user@1000.service/lxc/web\n": Cgroup("service", "user@1000.service"),
    "0::/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/s5K1KKYAYG5D00\n": Cgroup(
        "service", "user@1000.service"
    ),
    # Nothing known
    "0::/\n": None,
    "0::/init.scope\n": None,
    "0::/docker/abc\n": None,
    "": None,
    "nonsense": None,
    "::\n:::::\n\n": None,
}


@pytest.mark.parametrize("where", CONTAINERS)
def test_a_container_is_recognised_by_its_id(where: str) -> None:
    assert parse_cgroup(CONTAINERS[where].encode()) == Cgroup("container", ID)


@pytest.mark.parametrize("content", OTHERS)
def test_what_started_a_process(content: str) -> None:
    assert parse_cgroup(content.encode()) == OTHERS[content]


def test_names_are_bounded_and_cleaned() -> None:
    found = parse_cgroup(b"0::/system.slice/" + b"x" * 4000 + b"\x1b[2J\xff\xe2\x80\xae.service\n")
    assert found is not None
    assert len(found.name) <= MAX_TEXT
    hostile = parse_cgroup(b"0::/system.slice/\x1b[2J\xff\xe2\x80\xae.service\n")
    assert hostile == Cgroup("service", "\\x1b[2J\\udcff\\u202e.service")


@pytest.mark.parametrize("content", [b"0::" + b"/a" * 32_000, b"0::/slurm" + b"/job_" * 12_000, b":" * 64_000])
def test_no_content_is_slow_to_parse(content: bytes) -> None:
    assert parse_cgroup(content) is None
