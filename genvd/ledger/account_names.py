"""Account names that the ledger's file keeps, so that users have names while the name service is down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis.known_accounts import MAX_ACCOUNTS
from genvd.analysis.restart_state import KnownAccount

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_HOUR = 3600

_UPSERT = """
    INSERT INTO account (name, uid, main, last) VALUES (?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET main = CASE uid WHEN excluded.uid THEN max(main, excluded.main)
        ELSE excluded.main END, uid = excluded.uid, last = excluded.last"""


class LastWrite(NamedTuple):
    """The accounts that were written last, and the Unix time at which that hour began."""

    accounts: frozenset[KnownAccount]
    hour: int


def read(connection: sqlite3.Connection) -> tuple[KnownAccount, ...]:
    """Return all accounts in the file, the least recently used first."""
    rows = connection.execute("SELECT uid, name, main FROM account ORDER BY last, name")
    return tuple(KnownAccount(uid, name, bool(main)) for uid, name, main in rows)


def write(connection: sqlite3.Connection, accounts: Iterable[KnownAccount], previous: LastWrite | None) -> LastWrite:
    """Add the accounts to those in the file, inside a transaction; return the value to pass as ``previous`` next time.

    A name belongs to one uid, and a uid has one main name: older rows that contradict this are replaced. Above
    :data:`~genvd.analysis.known_accounts.MAX_ACCOUNTS` accounts, the least recently used ones are deleted.
    """
    current = LastWrite(frozenset(accounts), int(time.time()) // _HOUR * _HOUR)
    if current == previous:
        return current
    for uid, name, main in sorted(current.accounts):
        if main:
            connection.execute("DELETE FROM account WHERE main AND uid = ? AND name <> ?", (uid, name))
        connection.execute(_UPSERT, (name, uid, main, current.hour))
    connection.execute(
        "DELETE FROM account WHERE name IN (SELECT name FROM account ORDER BY last DESC LIMIT -1 OFFSET ?)",
        (MAX_ACCOUNTS,),
    )
    return current


def delete_unused(connection: sqlite3.Connection, oldest: int) -> None:
    """Delete the accounts that were last used before this Unix time."""
    connection.execute("DELETE FROM account WHERE last < ?", (oldest,))
