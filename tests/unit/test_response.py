"""The date of a response, in the words of HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import formatdate

import pytest

from genvd.web import response

DAYS = [datetime(2027, 12, 31, 23, 59, 59, tzinfo=timezone.utc) + timedelta(days=day) for day in range(366 + 2)]
"""Of a leap year, and around it."""


@pytest.mark.parametrize("month", range(1, 13))
def test_the_date_is_that_of_the_clock(month: int) -> None:
    for moment in (day for day in DAYS if day.month == month):
        for seconds in (0, 1):
            unix_time = int(moment.timestamp()) + seconds
            assert response._date(unix_time).decode().strip() == formatdate(unix_time, usegmt=True)
