"""What to talk about with users: who holds GPUs idle, who breaks a limit, who runs outside genv."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from genvd.analysis import policy
from genvd.analysis.availability import idle_seconds
from genvd.common.text import gpus
from genvd.model.snapshot import memory_limit
from genvd.overview.problem import Severity, counted, first_process, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from genvd.model.snapshot import Environment, EnvironmentUse, Holding, Process, Snapshot

TalkKind = Literal["idle", "memory_limit", "unattached_device", "outside", "device_limit"]

MAX_TALKS = 100
"""Maximum number that the page and ``top`` get."""

PROBLEMS_WITH_PEOPLE: Mapping[TalkKind, tuple[str, str]] = {
    "memory_limit": (
        "environment uses more GPU memory than its limit",
        "environments use more GPU memory than their limits",
    ),
    "unattached_device": (
        "environment computes on a GPU that is not attached",
        "environments compute on GPUs that are not attached",
    ),
    "outside": (
        "GPU process runs outside genv, so genv does not know of it",
        "GPU processes run outside genv, so genv does not know of them",
    ),
    "device_limit": ("environment has more GPUs than it asked for", "environments have more GPUs than they asked for"),
}
"""The kinds that are also problems, and the words for one and for several of them."""

_SEVERITIES: Mapping[TalkKind, tuple[Severity, str]] = {
    "idle": ("info", "GenvEnvironmentHeldIdle"),
    "memory_limit": ("warning", "GenvEnvironmentOverMemory"),
    "unattached_device": ("warning", "GenvUnattachedDeviceUsed"),
    "outside": ("warning", "GenvUnmanagedProcesses"),
    "device_limit": ("info", "GenvEnvironmentOverDevices"),
}
"""The alert for the same thing, and its severity."""

_ADVICE: Mapping[TalkKind, str] = {
    "idle": "Ask whether they still need it: 'genv detach' or 'genv deactivate' frees it.",
    "memory_limit": "Ask the users to use less, or to activate with a higher limit: 'genv activate --gpu-memory'.",
    "unattached_device": "Ask the users to attach these GPUs ('genv attach') or to stop using them.",
    "outside": "Ask the users to run them in an environment: 'genv activate'.",
    "device_limit": "Ask the users to detach some: 'genv detach'.",
}


_CLOCK_SECONDS = 1.0
"""By how much a time since now and one until the end of the collection may differ."""


class Talk(NamedTuple):
    """Something to talk about with a user. None means *not known*."""

    kind: TalkKind
    severity: Severity
    username: str | None
    eid: str | None
    """The environment; None for processes outside genv."""
    name: str | None
    """Name of the environment, or the first process."""
    devices: tuple[int, ...]
    text: str
    """What it is about, such as "60.0 GiB on GPUs 0 and 1, asked for 37.3 each"."""
    since: float | None
    """Unix time since which the environment has worked on none of these GPUs; None for other kinds."""
    advice: str
    alert: str
    number: int = 1
    """Number of processes, or 1 for an environment."""
    also: str | None = None
    """What the environment does apart from that, such as "works on GPUs 8 and 9"."""


def talks(snapshot: Snapshot) -> tuple[Talk, ...]:
    """Return what to talk about: who holds GPUs idle, the longest idle first, then broken rules."""
    idle = sorted(_idle(snapshot), key=lambda talk: talk.since or 0)
    order = tuple(_SEVERITIES)
    others = sorted((*_violations(snapshot), *_outside(snapshot)), key=lambda talk: order.index(talk.kind))
    return (*idle, *others)


def _talk(
    kind: TalkKind, environment: Environment, devices: Sequence[int], text: str, since: float | None = None
) -> Talk:
    severity, alert = _SEVERITIES[kind]
    return Talk(
        kind,
        severity,
        environment.username,
        environment.eid,
        name_of(environment),
        tuple(devices),
        text,
        since,
        _ADVICE[kind],
        alert,
    )


def _idle(snapshot: Snapshot) -> Iterator[Talk]:
    """Yield one for each environment that holds GPUs idle, whether or not it works on others."""
    held: dict[str, list[Holding]] = defaultdict(list)
    for holding in snapshot.holdings or ():
        held[holding.eid].append(holding)
    for environment in snapshot.environments or ():
        own = sorted(held[environment.eid], key=lambda holding: holding.device_index)
        idle = {
            holding.device_index: seconds for holding in own if (seconds := idle_seconds(snapshot, holding)) is not None
        }
        if idle:
            elsewhere = [holding.device_index for holding in own if _works(snapshot, holding)]
            since = snapshot.timestamp - min(idle.values())
            talk = _talk("idle", environment, list(idle), f"holds {gpus(idle)} idle", since)
            yield talk._replace(also=f"works on {gpus(elsewhere)}") if elsewhere else talk


def _works(snapshot: Snapshot, holding: Holding) -> bool:
    """Return whether an environment is known to have worked on a GPU within ``idle.grace``."""
    seconds = holding.idle_seconds
    if not seconds or idle_seconds(snapshot, holding) is not None:
        return seconds == 0
    # A GPU that was attached a short time ago may never have been used.
    return holding.attached is None or seconds < snapshot.timestamp - holding.attached - _CLOCK_SECONDS


def _violations(snapshot: Snapshot) -> Iterator[Talk]:
    held = Counter(holding.eid for holding in snapshot.holdings or ())
    for environment, rule, broken in policy.all_violations(snapshot):
        if not broken:
            continue
        uses = environment.uses or ()
        if rule == policy.MEMORY_LIMIT:
            over = [(use, limit) for use in uses if (limit := _exceeded_limit(environment, use)) is not None]
            yield _talk("memory_limit", environment, [use.device_index for use, _ in over], memory_text(over))
        elif rule == policy.UNATTACHED_DEVICE:
            elsewhere = [use.device_index for use in uses if use.computes and not use.attached]
            text = f"computes on {gpus(elsewhere)}, not attached"
            yield _talk("unattached_device", environment, elsewhere, text)
        else:
            number = held[environment.eid]
            text = f"has {counted(number, ('GPU', 'GPUs'))} attached, asked for {environment.gpus}"
            yield _talk("device_limit", environment, environment.device_indices, text)


def _exceeded_limit(environment: Environment, use: EnvironmentUse) -> int | None:
    """Return the limit in bytes that an environment exceeds on a GPU; None if it does not."""
    limit = memory_limit(use.attached_memory_bytes, environment.gpu_memory_bytes)
    return limit if limit is not None and _least_memory(use) > limit else None


def _least_memory(use: EnvironmentUse) -> int:
    return max(use.memory_bytes or 0, use.least_memory_bytes)


def memory_text(over: Sequence[tuple[EnvironmentUse, int]]) -> str:
    """Return by how much an environment exceeds its limits: "60.0 GiB on GPUs 0 and 1, asked for 37.3 each".

    Args:
        over: its use of each GPU on which it exceeds the limit, and that limit in bytes.
    """
    limits = {limit for _, limit in over}
    parts: dict[tuple[str, int | None], list[int]] = defaultdict(list)
    for use, limit in over:
        parts[_amount(_least_memory(use), limit), None if len(limits) == 1 else limit].append(use.device_index)
    each = " each" if len(over) > 1 else ""
    if len(limits) > 1:
        return ", ".join(
            f"{amount} on {gpus(indices)} (asked for {_amount(limit or 0)})"
            for (amount, limit), indices in parts.items()
        )
    used = " and ".join(f"{amount} on {gpus(indices)}" for (amount, _), indices in parts.items())
    asked = _amount(next(iter(limits), 0))
    same_unit = all(amount.split()[1] == asked.split()[1] for amount, _ in parts)
    return f"{used}, asked for {asked.split()[0] if same_unit else asked}{each}"


def _amount(amount: int, limit: int | None = None) -> str:
    """Return a number of bytes in words; with enough digits to differ from the limit that it exceeds."""
    unit, size = ("GiB", 2**30) if amount >= 2**30 else ("MiB", 2**20)
    digits = 1 if unit == "GiB" else 0
    while limit is not None and digits < 6 and f"{amount / size:.{digits}f}" == f"{limit / size:.{digits}f}":
        digits += 1
    return f"{amount / size:.{digits}f} {unit}"


def _outside(snapshot: Snapshot) -> Iterator[Talk]:
    """Yield one for each user with processes outside genv."""
    by_user: dict[str | None, list[Process]] = defaultdict(list)
    for process in policy.unmanaged(snapshot):
        by_user[process.username].append(process)
    severity, alert = _SEVERITIES["outside"]
    for username in sorted(by_user, key=lambda name: (name is None, name)):
        group = by_user[username]
        devices = tuple(sorted({use.device_index for process in group for use in process.uses}))
        yield Talk(
            kind="outside",
            severity=severity,
            username=username,
            eid=None,
            name=first_process(group),
            devices=devices,
            text=f"{'runs' if len(group) == 1 else 'run'} on {gpus(devices)} outside genv",
            since=None,
            advice=_ADVICE["outside"],
            alert=alert,
            number=len(group),
        )
