"""The problems of a machine, in sentences: what is wrong and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from genvd.analysis import policy
from genvd.analysis.unknown_environments import ADVICE, unknown_environment_text
from genvd.common.text import gpus
from genvd.overview import driver_help
from genvd.overview.device_problems import device_problems
from genvd.overview.problem import Problem, counted, first_names, name_of, with_user, worst_first
from genvd.overview.talks import PROBLEMS_WITH_PEOPLE, Talk, TalkKind, talks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from genvd.model.snapshot import CollectorStatus, Environment, Snapshot

_GPU_COLLECTOR = "nvml"
"""The collector that fails when the driver does."""

_COLLECTORS = {
    "genv": ("genv's state cannot be read.", "Check that the named files belong to genv and are readable."),
    "genv_command": ("Unknown whether genv is installed.", "See 'journalctl -u genv-monitor'."),
    "processes": (
        "Process list unavailable.",
        "Check whether the helper that reads it runs: 'systemctl status genv-monitor-processes'.",
    ),
    "accounts": ("User accounts cannot be looked up.", "Check whether the directory service answers: 'getent passwd'."),
}
"""What is wrong if a collector fails, and what to do, by its name."""

_SELF_EXPLANATORY = frozenset({"missing", "not_loaded", "no_permission"})
"""Driver states for which the error message of the collector adds nothing."""


def problems(snapshot: Snapshot, with_people: Iterable[Talk] | None = None) -> tuple[Problem, ...]:
    """Return the problems, the worst first. Their number is bounded by the number of GPUs.

    Args:
        snapshot: the machine.
        with_people: what :func:`genvd.overview.talks.talks` returns for it; None to call that.
    """
    found = [problem for check in _CHECKS for problem in check(snapshot)]
    found.extend(people_problems(talks(snapshot) if with_people is None else with_people))
    return worst_first(found)


def _collectors(snapshot: Snapshot) -> Iterator[Problem]:
    for status in snapshot.collectors:
        if not status.success:
            detail = None if _is_explained(snapshot, status) else status.error
            of_driver = status.name == _GPU_COLLECTOR
            yield Problem(
                "error" if of_driver else "warning",
                *_collector_advice(snapshot, status),
                detail=detail,
                alert="GenvDriverBroken" if of_driver else "GenvCollectorFailing",
            )


def _collector_advice(snapshot: Snapshot, status: CollectorStatus) -> tuple[str, str]:
    if status.name == _GPU_COLLECTOR:
        return driver_help.DRIVER.get(snapshot.driver_state, driver_help.DRIVER_FAILED)
    return _COLLECTORS.get(status.name, (f"Collector {status.name} fails.", "See 'journalctl -u genv-monitor'."))


def _is_explained(snapshot: Snapshot, status: CollectorStatus) -> bool:
    """Return whether the advice on the driver already says what the error message says."""
    return status.name == _GPU_COLLECTOR and snapshot.driver_state in _SELF_EXPLANATORY


def _service(snapshot: Snapshot) -> Iterator[Problem]:
    service, ledger = snapshot.service, snapshot.ledger
    if service.config_reload_problem:
        yield Problem(
            "warning",
            f"Configuration reload failed: {service.config_reload_problem}. Still using the previous one.",
            "Choose another one, or stop the program that uses this one ('ss -ltnp' as root shows it). Then run"
            " 'systemctl reload genv-monitor'.",
            alert="GenvConfigReloadFailed",
        )
    elif not service.config_reload_successful:
        yield Problem(
            "warning",
            "Configuration reload failed; still using the previous one.",
            "'genv-monitor check' shows what is wrong. Correct it, then run 'systemctl reload genv-monitor'.",
            alert="GenvConfigReloadFailed",
        )
    if service.publish_success is False:
        yield Problem(
            "warning",
            "The Prometheus and Grafana files could not be written, or were changed by another program.",
            "'journalctl -u genv-monitor' has the names and the reason. The monitor retries automatically.",
            alert="GenvPublishFailed",
        )
    if ledger is not None and ledger.write_success is False:
        yield Problem(
            "warning",
            "GPU usage could not be written to the ledger.",
            "Check whether the disk is full; 'journalctl -u genv-monitor' has the reason. The monitor retries"
            " automatically.",
            alert="GenvLedgerNotWritten",
        )
    for listen in service.listening:
        if not listen.served:
            yield Problem(
                "warning",
                f"Another program has the address {listen.address}, so the monitor does not serve there.",
                "'ss -ltnp' as root shows it. Stop it, then run 'systemctl reload genv-monitor'.",
                alert="GenvMonitorAddressHeld",
            )


def _certificates(snapshot: Snapshot) -> Iterator[Problem]:
    for validity in snapshot.service.certificate_ends:
        if invalidity := validity.invalidity(snapshot.timestamp):
            yield Problem(
                "warning", *_certificate_advice(validity.certificate, invalidity), alert="GenvCertificateEndsSoon"
            )


def _certificate_advice(certificate: str, invalidity: str) -> tuple[str, str]:
    if certificate == "server":
        return (
            f"The certificate of the monitor {invalidity}, so clients that verify it cannot connect.",
            "Replace it; no restart is needed. Check the clock of the machine too.",
        )
    return (
        f"A certificate of client_ca_file {invalidity}, so clients that it signed are refused.",
        "Replace it or remove it from the file. Check the clock of the machine too.",
    )


def _no_devices(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.driver_state == "ok" and snapshot.devices == ():
        yield Problem(
            "warning",
            "The NVIDIA driver works but lists no GPU.",
            "See 'nvidia-smi -L', and 'lspci -d 10de:' for the hardware. A container or virtual machine has only the"
            " GPUs that it was given.",
        )


def _holders_unknown(snapshot: Snapshot) -> Iterator[Problem]:
    names = gpus(snapshot.holders_unknown)
    if snapshot.holders_unknown and not snapshot.sees_machine:
        yield Problem(
            "warning",
            f"It is unknown which environments have {names} attached: the monitor cannot see all processes.",
            ADVICE["not_visible"],
        )
    elif snapshot.holders_unknown and not (uncertain := _without_known_devices(snapshot)):
        yield Problem(
            "warning",
            f"It is unknown which environments have {names} attached.",
            "genv's files have invalid entries, or the processes cannot be read; 'journalctl -u genv-monitor' says"
            " which.",
        )
    elif snapshot.holders_unknown:
        yield Problem(
            "warning",
            f"GPU indices have changed, so it is unknown which environments have {names} attached.",
            "'nvidia-smi -L' shows which GPU is missing. Bring it back, or ask the users to attach again:"
            " 'genv detach', then 'genv attach'.",
            *first_names([with_user(name_of(environment), environment.username) for environment in uncertain]),
        )


def _without_known_devices(snapshot: Snapshot) -> list[Environment]:
    """Return the environments of which it is unknown which GPUs they have attached, as GPU indices have changed."""
    return [environment for environment in snapshot.environments or () if not environment.devices_known]


def _unknown_environments(snapshot: Snapshot) -> Iterator[Problem]:
    numbers = policy.count_unknown_environments(snapshot)
    for reason, number in numbers.items():
        if number:
            yield Problem("warning", f"{unknown_environment_text(number)}.", ADVICE[reason])


def people_problems(with_people: Iterable[Talk]) -> Iterator[Problem]:
    """Yield the problems that are to be talked about with users, one for each kind."""
    by_kind: dict[TalkKind, list[Talk]] = defaultdict(list)
    for talk in with_people:
        by_kind[talk.kind].append(talk)
    for kind, group in by_kind.items():
        if kind in PROBLEMS_WITH_PEOPLE:
            words = PROBLEMS_WITH_PEOPLE[kind]
            yield Problem(
                group[0].severity,
                f"{counted(sum(talk.number for talk in group), words)}.",
                group[0].advice,
                *first_names([f"{with_user(talk.name or 'process', talk.username)}: {talk.text}" for talk in group]),
                alert=group[0].alert,
                people=True,
            )


_CHECKS: tuple[Callable[[Snapshot], Iterator[Problem]], ...] = (
    _collectors,
    _service,
    _certificates,
    _no_devices,
    device_problems,
    _holders_unknown,
    _unknown_environments,
)
