"""Sources: each knows one kind of outside thing and gives plain facts. None of them knows a metric."""

from __future__ import annotations

from typing import Protocol, TypeVar

QuestionT = TypeVar("QuestionT", contravariant=True)
FactsT = TypeVar("FactsT", covariant=True)


class SourceError(Exception):
    """The outside does not answer as it should. The text is one line: the thing, the reason, the way out."""

    def __init__(self, text: str, reason: str | None = None, partial: object = None) -> None:
        """Say what is wrong.

        Args:
            text: for people.
            reason: the kind of failure in one word, for metrics.
            partial: facts that hold all the same, in place of the last good ones.
        """
        super().__init__(text)
        self.reason = reason
        self.partial = partial


class Source(Protocol[QuestionT, FactsT]):
    """One kind of outside thing."""

    @property
    def name(self) -> str:
        """What the source is called in metrics and in the log."""

    def read(self, question: QuestionT) -> FactsT:
        """Return what the outside tells now; raise :class:`SourceError` when it tells nothing usable."""
