"""So many requests and no more: rate_limit of the web configuration."""

from __future__ import annotations

import time


class Limiter:
    """A bucket of tokens: each request takes one, each interval brings one."""

    def __init__(self, interval: float, burst: int) -> None:
        """Make one that is full.

        Args:
            interval: seconds in which one more request is allowed.
            burst: how many are allowed at once after a time without any.
        """
        self._interval = interval
        self._burst = burst
        self._tokens = float(burst)
        self._counted = time.monotonic()

    def allows(self) -> bool:
        """Take a token; tell whether there was one."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) / self._interval)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateLimit:
    """``rate_limit``, for who is let in and for who is not: a flood of wrong passwords takes nobody else's tokens."""

    def __init__(self, interval: float, burst: int) -> None:
        """Make one of which nothing is used; the arguments are those of :class:`Limiter`, and hold for each."""
        self.let_in = Limiter(interval, burst)
        self.turned_away = Limiter(interval, burst)
