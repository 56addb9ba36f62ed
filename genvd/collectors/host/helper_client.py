"""Collects processes through the helper, which may read those of all users. This process need not be allowed to."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from genvd.collectors.base import CollectorError
from genvd.helper.messages import ProtocolError, parse, receive, send
from genvd.helper.protocol import MAX_ANSWER_BYTES, MAX_QUESTION_BYTES, AnswerDecoder, Failure, encode_question

if TYPE_CHECKING:
    from genvd.model.facts import ProcessFacts, ProcessRequest

ADDRESS_VARIABLE = "GENV_MONITOR_PROCESSES"
"""Names the socket of the helper: its path, or its abstract name (unix(7)) after an ``@``."""

_PATIENCE_SECONDS = 30.0
"""How long to wait for an answer. The Runner stops waiting earlier, but cannot end this call."""


class HelperClient:
    """Asks the helper. It connects when needed, and again when the connection has ended."""

    name = "processes"
    late_advice = "see 'systemctl status genv-monitor-processes'"
    """What to do if it does not answer in time, for the Runner."""

    def __init__(self, address: str) -> None:
        """Create a client without a connection.

        Args:
            address: as in :data:`ADDRESS_VARIABLE`.
        """
        self._address = address
        if address.startswith("@"):  # started by this program
            self.late_advice = "see 'dmesg' for what hangs"
        self._connection: socket.socket | None = None
        self._decoder = AnswerDecoder({})
        self._last: tuple[bytes, ProcessRequest, ProcessFacts] | None = None
        """The last answer on this connection, what it answered, and the facts in it."""

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        """Return the facts of the requested processes.

        Raises:
            CollectorError: the helper does not answer.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        question = encode_question(request)
        while True:
            answer = self._ask(question, request, deadline)
            if not isinstance(answer, Failure):
                return answer
            if not answer.again or time.monotonic() >= deadline:
                raise CollectorError(answer.text)
            self.close()

    def _ask(self, question: object, request: ProcessRequest, deadline: float) -> ProcessFacts | Failure:
        """Ask once; if a connection from before has ended, as after a restart of the helper, ask on a new one."""
        reused = self._connection is not None
        try:
            return self._exchange(question, request, deadline)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not reused:
                raise self._away(error) from None
        except (OSError, ProtocolError) as error:
            self.close()
            raise self._away(error) from None
        return self._ask(question, request, deadline)

    def _exchange(self, question: object, request: ProcessRequest, deadline: float) -> ProcessFacts | Failure:
        connection = self._connection or self._connect(deadline)
        send(connection, question, MAX_QUESTION_BYTES, deadline)
        content = receive(connection, MAX_ANSWER_BYTES, deadline)
        if self._last is not None and self._last[:2] == (content, request):  # the usual case
            return self._last[2]
        answer = self._decoder.decode(parse(content), request)
        self._last = None if isinstance(answer, Failure) else (content, request, answer)
        return answer

    def _connect(self, deadline: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            connection.connect(self._address.replace("@", "\0", 1) if self._address.startswith("@") else self._address)
        except OSError:
            connection.close()
            raise
        self._connection, self._last = connection, None
        self._decoder = AnswerDecoder(self._decoder.owners)
        return connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _away(self, error: Exception) -> CollectorError:
        advice = self.late_advice
        if self._address.startswith("@") and isinstance(error, ConnectionRefusedError):
            advice = "start genv-monitor again"
        reason = _reason(error)
        return CollectorError(
            f"{self._address}: the helper that reads the processes does not answer: {reason}; {advice}"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it has closed the connection"
    if isinstance(error, ProtocolError):
        return f"its answer, or the question, is {error}"
    return (isinstance(error, OSError) and error.strerror) or str(error)
