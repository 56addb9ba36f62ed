"""What the name service called people, as the ledger's file keeps it: people have a name while it is away, too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis.known_accounts import MAX_ACCOUNTS
from genvd.analysis.restart_state import KnownAccount

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_HOUR = 3600

_SET = """
    INSERT INTO account (name, uid, main, last) VALUES (?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET main = CASE uid WHEN excluded.uid THEN max(main, excluded.main)
        ELSE excluded.main END, uid = excluded.uid, last = excluded.last"""


class Written(NamedTuple):
    """What was written, and in which hour, as Unix time of its beginning."""

    accounts: frozenset[KnownAccount]
    hour: int


def read(connection: sqlite3.Connection) -> tuple[KnownAccount, ...]:
    """Return all that are kept, in the order in which they were asked for last."""
    rows = connection.execute("SELECT uid, name, main FROM account ORDER BY last, name")
    return tuple(KnownAccount(uid, name, bool(main)) for uid, name, main in rows)


def write(connection: sqlite3.Connection, accounts: Iterable[KnownAccount], before: Written | None) -> Written:
    """Keep these besides those that are there, within a transaction; return what is to be given the next time.

    A name is that of one uid, and a uid has one main name: what was kept before and says otherwise goes. Of more than
    :data:`~genvd.analysis.known_accounts.MAX_ACCOUNTS`, those go that were not asked for longest.
    """
    now = Written(frozenset(accounts), int(time.time()) // _HOUR * _HOUR)
    if now == before:
        return now
    for uid, name, main in sorted(now.accounts):
        if main:
            connection.execute("DELETE FROM account WHERE main AND uid = ? AND name <> ?", (uid, name))
        connection.execute(_SET, (name, uid, main, now.hour))
    connection.execute(
        "DELETE FROM account WHERE name IN (SELECT name FROM account ORDER BY last DESC LIMIT -1 OFFSET ?)",
        (MAX_ACCOUNTS,),
    )
    return now


def forget(connection: sqlite3.Connection, oldest: int) -> None:
    """Delete those that were not asked for since then, which is Unix time in seconds."""
    connection.execute("DELETE FROM account WHERE last < ?", (oldest,))
