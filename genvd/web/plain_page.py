"""The page as plain tables, at /page/table.html: for browsers without JavaScript, and for paper."""

from __future__ import annotations

from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING

from genvd.overview import overview
from genvd.overview.summary import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from genvd.analysis.history import History
    from genvd.model.snapshot import Snapshot
    from genvd.overview import Overview
    from genvd.overview.devices import DeviceRow

_MAX_ROWS = 2000
"""Maximum number of rows of a table."""

_UNKNOWN = "\N{EN DASH}"

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{host}: {free} &ndash; genv-monitor</title>
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page.css">
</head>
<body>
<header><h1><bdi>{host}</bdi></h1><p class="freshness">as of {time} UTC</p>
<nav aria-label="More"><a href="table.html">Reload</a> <a href="..">Page with JavaScript</a> \
<a href="help.html">Glossary</a> <a href="docs/">Documentation</a></nav></header>
<main>
<p id="verdict"><strong>{free}</strong>{counts}</p>
{content}
</main>
</body>
</html>
"""


def plain_document(snapshot: Snapshot, history: History) -> bytes:
    """Return the page as HTML without scripts."""
    shown = overview(snapshot)
    now = datetime.fromtimestamp(shown.timestamp, timezone.utc)
    summary = shown.summary
    counts = (
        (summary.people, "person" if summary.people == 1 else "people"),
        (None if summary.idle is None else len(summary.idle), "held idle"),
        (summary.down, "broken"),
    )
    page = _PAGE.format(
        host=escape(shown.host or "genv-monitor"),
        free=escape(summary.text),
        time=now.strftime("%Y-%m-%d %H:%M:%S"),
        counts="".join(f" · {number} {what}" for number, what in counts if number is not None),
        content="\n".join(_content(shown)),
    )
    return page.encode("utf-8", "backslashreplace")


def _content(shown: Overview) -> Iterator[str]:
    yield _table("GPUs", _GPU_HEADS, None if shown.devices is None else (_gpu(row, shown) for row in shown.devices))
    yield _table(
        "Problems",
        ("Problem", "Affected", "What to do"),
        (
            (one.summary, _listed(one.names, len(one.names) + one.more), one.action)
            for one in shown.problems
            if not one.people
        ),
        wrapped=True,
    )
    yield _table(
        "To talk to",
        ("User", "Environment or process", "About", "For"),
        (
            (
                one.username,
                one.name,
                one.text if one.also is None else f"{one.text}, {one.also}",
                _since(shown, one.since),
            )
            for one in shown.talks
        ),
    )
    if shown.usage:
        yield _table(
            "GPU time since the ledger was created",
            ("User", "GPU-hours attached", "Held idle", "Outside genv"),
            (
                (
                    row.username,
                    _hours(row.attached_seconds),
                    None if row.idle_seconds is None else _hours(row.idle_seconds),
                    None if row.outside_seconds is None else _hours(row.outside_seconds),
                )
                for row in shown.usage
            ),
        )
    yield _table(
        "Environments",
        ("Environment", "ID", "User", "GPUs", "Memory", "Limit per GPU", "Idle for", "Violations"),
        None
        if shown.environments is None
        else (
            (
                row.name,
                row.eid,
                row.username,
                ", ".join(map(str, row.devices)),
                _gib(row.memory_bytes),
                "none" if row.memory_limit_bytes is None else _gib(row.memory_limit_bytes),
                _since(shown, row.idle_since) or "",
                ", ".join(row.violations).replace("_", " ") or "none",
            )
            for row in shown.environments
        ),
    )
    yield _table(
        "GPU processes",
        ("PID", "Command", "User", "Environment", "GPUs", "Memory", "Utilisation"),
        None
        if shown.processes is None
        else (
            (
                str(row.pid),
                row.command,
                row.username,
                "outside genv" if row.unmanaged else row.environment,
                ", ".join(map(str, row.devices)),
                _gib(row.memory_bytes),
                _percent(row.utilization),
            )
            for row in shown.processes
        ),
    )


_GPU_HEADS = ("GPU", "State", "Users", "Environments or processes", "Utilisation", "Memory", "Temperature", "Model")


def _gpu(row: DeviceRow, shown: Overview) -> tuple[str | None, ...]:
    since = (
        "" if row.state != "idle" or row.idle_since is None else f" {duration_text(shown.timestamp - row.idle_since)}"
    )
    users, names = _who(row)
    mig = "" if row.mig_used is None or not row.mig else f" (MIG, {row.mig_used} of {len(row.mig)} in use)"
    memory = _gib(row.memory_used_bytes)
    whole = _gib(row.memory_total_bytes)
    return (
        str(row.index),
        f"{row.state_text}{since}{mig}",
        users,
        names,
        _percent(row.utilization),
        f"{memory} of {whole}" if memory and whole else memory,
        None if row.temperature_celsius is None else f"{row.temperature_celsius:.0f} °C",
        row.name,
    )


def _who(row: DeviceRow) -> tuple[str, str]:
    """Return the users of a GPU, and their environments or processes; a plus is before users without attachment."""
    if not row.holders_total:
        names = [f"{one.command or 'process'} {one.pid}" for one in row.running or ()]
        return _listed(row.people, row.people_total), _listed(names, row.running_total)
    guests = dict.fromkeys(one.username for one in row.guests if one.username and one.username not in row.people)
    names = [*(one.name or one.eid for one in row.holders or ()), *(one.name for one in row.guests)]
    return (
        _listed([*row.people, *(f"+{guest}" for guest in guests)], row.people_total + len(guests)),
        _listed(names, row.holders_total + len(row.guests)),
    )


def _since(shown: Overview, moment: float | None) -> str | None:
    return None if moment is None else duration_text(shown.timestamp - moment)


def _table(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[str | None]] | None, *, wrapped: bool = False
) -> str:
    """Return a table with its heading.

    Args:
        title: the heading.
        heads: the headings of the columns.
        rows: the cells, None for what is unknown; None if the rows are unknown.
        wrapped: whether the cells are sentences, which may take several lines.
    """
    heading = f"<h2>{escape(title)}</h2>"
    if rows is None:
        return f"{heading}\n<p>not known</p>"
    lines = [_line(row) for row in rows]
    if not lines:
        return f"{heading}\n<p>none</p>"
    more = f"\n<p>and {len(lines) - _MAX_ROWS} more</p>" if len(lines) > _MAX_ROWS else ""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "\n".join(lines[:_MAX_ROWS])
    kind = "scroll plain wrapped" if wrapped else "scroll plain"
    label = f'role="region" tabindex="0" aria-label="{escape(title)}"'
    return (
        f'{heading}\n<div class="{kind}" {label}><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>{more}"
    )


def _line(row: Sequence[str | None]) -> str:
    first, *others = (f"<bdi>{escape(_UNKNOWN if cell is None else cell)}</bdi>" for cell in row)
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'


def _listed(names: Sequence[str], total: int) -> str:
    more = f" and {total - len(names)} more" if total > len(names) else ""
    return f"{', '.join(names)}{more}"


def _gib(amount: int | None) -> str | None:
    return None if amount is None else f"{amount / 2**30:.1f} GiB"


def _hours(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds / 3600:.2f}"


def _percent(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.0%}".replace("%", " %")
