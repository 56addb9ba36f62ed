"""Measures the size of the ledger of a busy machine, and the duration of reports and of /api/v1/usage.

``python -m tools.ledger_size [DAYS USERS DEVICES]``: by default 400 days, 50 users and 16 GPUs. Each user has
two environments a day, each with a GPU for two thirds of the day. The clock is simulated.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from unittest.mock import patch

from genvd.ledger.amounts import Consumer, Usage, UsageKey
from genvd.ledger.pending import PendingUsage
from genvd.ledger.report import LABELS, make_report
from genvd.ledger.retention import DAY, apply_retention
from genvd.ledger.schema import open_for_reading
from genvd.ledger.store import HOUR, Store, StoredState
from genvd.ledger.usage import PERIODS, View, usage_document

END = 1_790_000_000 // DAY * DAY


def main(days: int = 400, users: int = 50, devices: int = 16) -> None:
    """Simulate the ledger; print its size and the durations."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "state"
        store, started = Store(directory, "live"), time.monotonic()
        store.connection.execute("PRAGMA synchronous = OFF")  # a simulation need not survive a power cut
        pending, chance, slowest = PendingUsage(), random.Random(0), 0.0
        pending.load(StoredState())
        for day in range(END - days * DAY, END, DAY):
            with patch("time.time", lambda now=day: float(now)):
                slowest = max(slowest, _day(store, pending, day, users, devices, chance))
                apply_retention(store.connection, day + DAY, 35 * DAY, 400 * DAY, lambda: True)
        (hours,) = store.connection.execute("SELECT count(*) FROM hour").fetchone()
        (rows,) = store.connection.execute("SELECT count(*) FROM day").fetchone()
        store.close()
        print(f"{days} days, {users} users, {devices} GPUs: simulated in {time.monotonic() - started:.0f} s")
        size = store.path.stat().st_size / 2**20
        print(
            f"{size:.1f} MiB: {hours} rows by the hour, {rows} rows by the day; slowest write {1000 * slowest:.0f} ms"
        )
        for since in (7, 31, days):
            for by in LABELS:
                _report(store.path, since, by)
        for view in (View(), View(user="user7")):
            seconds, size = usage_document_cost(store.path, END, view)
            print(f"/api/v1/usage of {view.user or 'everybody'}: {size / 1024:.0f} KiB in {1000 * seconds:.0f} ms")


def usage_document_cost(path: Path, now: float, view: View) -> tuple[float, int]:
    """Return how many seconds the largest document of /api/v1/usage takes, and its bytes."""
    began = time.monotonic()
    with closing(open_for_reading(path)) as connection:
        document = usage_document(connection, now, view, {}, PERIODS["30d"])
    return time.monotonic() - began, len(json.dumps(document, separators=(",", ":")))


def _day(store: Store, pending: PendingUsage, day: int, users: int, devices: int, chance: random.Random) -> float:
    """Write a day hour by hour; return the duration of the slowest write, in seconds."""
    holders = [
        (Consumer(f"user{user}", str(chance.randrange(10_000, 4_000_000)), day, 1000 + user, "training"), user + number)
        for user in range(users)
        for number in range(2)
    ]
    slowest = 0.0
    for start in range(day, day + DAY, HOUR):
        uses: dict[UsageKey, Usage] = {}
        for consumer, device in holders:
            if chance.random() < 2 / 3:
                active = chance.randrange(HOUR * 1000)
                use = Usage(HOUR * 1000, active, HOUR * 1000 - active, chance.randrange(700 * HOUR * 1000))
                uses[consumer, f"GPU-{device % devices:08x}-1234-5678-9abc-def012345678"] = use
        whole = HOUR * 1000
        pending.add(uses, start, {f"GPU-{n:08x}-1234-5678-9abc-def012345678": {"idle": whole} for n in range(devices)})
        began = time.monotonic()
        store.write(pending.take_batch())
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def _report(path: Path, days: int, by: str) -> None:
    until = datetime.fromtimestamp(END, timezone.utc)
    since = datetime.fromtimestamp(END - days * DAY, timezone.utc)
    began = time.monotonic()
    rows = make_report(path, since, until, by).rows
    print(f"report of {days} days by {by}: {len(rows)} rows in {1000 * (time.monotonic() - began):.0f} ms")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
