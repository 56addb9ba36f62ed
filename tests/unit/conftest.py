"""What several unit tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genvd.ledger.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The ledger's file, which is new."""
    store = Store(tmp_path / "state", "live")
    yield store
    store.close()
