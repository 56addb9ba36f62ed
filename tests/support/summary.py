"""The end of a run at a glance: what failed first, then what was left out, each grouped by its reason."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest

_SHOWN = 8
"""Tests that are named for each reason, and words that are said of each group."""
_WIDTH = 116
_GROUP = re.compile(r"@/[^@]*$")
"""What pytest-xdist appends to the name of a test: its group, which begins with a path (tests/conftest.py)."""
_VARIES = re.compile(r"0x[0-9a-f]+|/\S+|'[^']*'|\"[^\"]*\"|\d+(\.\d+)?")
"""What differs between two failures that have the same reason."""


@dataclass(frozen=True)
class Outcome:
    """A test that failed or was left out."""

    test: str
    reason: str


def outcomes(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> list[Outcome]:
    """Return what the reports say, each test once: a test and what clears up after it can both fail."""
    found: dict[str, Outcome] = {}
    for report in reports:
        test = _GROUP.sub("", report.nodeid)
        found.setdefault(test, Outcome(test, _reason(report.longrepr)))
    return list(found.values())


def _reason(longrepr: Any) -> str:
    """Return the first line of why: of an exception, of a skip (path, line, text) or of a text."""
    if isinstance(longrepr, tuple):
        text = str(longrepr[2]).removeprefix("Skipped: ")
    elif crash := getattr(longrepr, "reprcrash", None):
        text = str(crash.message)
    else:
        text = str(longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"


def failed_lines(failed: Sequence[Outcome]) -> list[str]:
    """Return the lines about what failed, the most frequent reason first."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in failed:
        groups[_VARIES.sub("*", outcome.reason)].append(outcome)
    lines = [f"FAILED: {len(failed)}"]
    for group in sorted(groups.values(), key=len, reverse=True):
        lines.append(f"{len(group):5} x {_short(group[0].reason)}")
        lines += [f"          {outcome.test}" for outcome in group[:_SHOWN]]
        lines += [f"          and {len(group) - _SHOWN} more"] if len(group) > _SHOWN else []
    return lines


def left_out_lines(left_out: Sequence[Outcome]) -> list[str]:
    """Return the lines about what was left out: reasons that begin alike ("needs root: ...") are one."""
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in left_out:
        what, _, detail = outcome.reason.partition(": ")
        groups[what][detail] += 1
    lines = [f"Left out: {len(left_out)}"]
    for what, details in sorted(groups.items(), key=lambda item: -item[1].total()):
        said = ", ".join(text for text, _ in details.most_common(_SHOWN) if text)
        more = ", ..." if len(details) > _SHOWN else ""
        lines.append(_short(f"{details.total():5} x {what}" + (f": {said}{more}" if said else "")))
    return lines


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def write(reporter: pytest.TerminalReporter) -> None:
    """Write it below all that pytest wrote, above its last line."""
    stats = reporter.stats
    failed = outcomes([*stats.get("error", ()), *stats.get("failed", ())])
    left_out = outcomes(stats.get("skipped", ()))
    if not failed and not left_out:
        return
    reporter.write_sep("=", "summary")
    if failed:
        for line in failed_lines(failed):
            reporter.write_line(line, red=line.startswith("FAILED"))
        reporter.write_line(f"Again, one after the other: {_python()} -m pytest -n0 {_quoted(failed)}")
    if left_out:
        for line in left_out_lines(left_out):
            reporter.write_line(line)


def _quoted(failed: Sequence[Outcome]) -> str:
    """Return the tests as a shell takes them; their files if they are many."""
    names = [outcome.test for outcome in failed]
    if len(names) > _SHOWN:
        return " ".join(dict.fromkeys(name.partition("::")[0] for name in names))
    return shlex.join(names)


def _python() -> str:
    """Return the interpreter of this run, as one types it in the checkout."""
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python)
