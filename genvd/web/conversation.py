"""HTTP on a connection: what came is read, answered and sent; nothing here waits."""

from __future__ import annotations

import logging
import select
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from genvd.text import clean
from genvd.web.connections import Connections, Stage
from genvd.web.logins import Outcome
from genvd.web.request import END, MAX_HEAD_BYTES, BadRequestError, Request, parse
from genvd.web.response import Job, Response, head, problem

if TYPE_CHECKING:
    from genvd.web.connection import Connection
    from genvd.web.renderer import Post, Renderer
    from genvd.web.security import Security
    from genvd.web.site import Site

log = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD")
_NOT_ALLOWED = problem(
    HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served.", (("Allow", ", ".join(_METHODS)),)
)
_RETRY = (("Retry-After", "1"),)
_TOO_MANY_REQUESTS = problem(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; see rate_limit.", _RETRY)
_TOO_MANY_LOGINS = problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many logins at a time. Try again in a moment.", _RETRY)
_UNAUTHORIZED = problem(
    HTTPStatus.UNAUTHORIZED, headers=(("WWW-Authenticate", 'Basic realm="genv-monitor", charset="UTF-8"'),)
)
_MOST_THROWN_AWAY = 1024 * 1024
"""Bytes that a client may still send after it was refused, so that it gets to read why."""

_TLS_HANDSHAKE = b"\x16"
"""What a client begins with who takes this port for one of HTTPS (RFC 8446, section 5.1); no method begins so."""

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


class Conversation:
    """What is done when something happens on a connection."""

    def __init__(
        self,
        site: Site,
        security: Security,
        connections: Connections,
        renderer: Renderer,
        post: Post,
    ) -> None:
        """Make it.

        Args:
            site: what is served.
            security: to whom.
            connections: all that there are.
            renderer: does what takes longer.
            post: brings a connection back from another thread.
        """
        self._site = site
        self._security = security
        self._connections = connections
        self._renderer = renderer
        self._post = post
        self.stopping = False
        """Whether each connection ends with the answer that it waits for."""
        self.unread: dict[Connection, None] = {}
        """Connections from which a whole request may have come that was not looked at yet."""

    def wants(self, connection: Connection) -> int:
        """Return what epoll is to look for."""
        if connection.to_send:
            return _WRITE
        if connection.request is not None:
            return 0  # another thread works for it; that it goes away is told all the same
        return _READ

    def goes_on(self, connection: Connection) -> None:
        """Do what can be done now: send what is left, read, answer one request."""
        if connection.to_send:
            self._send(connection)
        elif connection.stage is Stage.LEAVING:
            self._throw_away(connection)
        elif connection.request is None:
            self._read(connection)

    def too_late(self, connection: Connection) -> None:
        """Deal with a connection that has been in its stage for too long."""
        if connection.stage is Stage.LOGIN:
            self._turn_away(connection, _TOO_MANY_LOGINS)
        elif connection.stage is Stage.NEW and connection.received:
            self._refuse(connection, HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.close(connection)

    def close(self, connection: Connection) -> None:
        """End a connection, whatever it waits for."""
        if connection.stage is Stage.LOGIN:
            self._security.logins.forget(connection)
        self.unread.pop(connection, None)
        self._connections.remove(connection)
        connection.close()

    # --- Reading ---------------------------------------------------------------------------------------------

    def _read(self, connection: Connection) -> None:
        self.unread.pop(connection, None)
        if not self._whole(connection.received):
            came = connection.transport.receive()
            if came is None:
                return
            connection.ends = not came
            connection.received = (connection.received + came).lstrip(b"\r\n") if came else connection.received
        if self._whole(connection.received):
            self._take_request(connection)
        elif connection.ends:
            self.close(connection)
        elif connection.received and connection.stage is Stage.RESTING:
            self._connections.put(connection, Stage.ASKING)

    def _whole(self, received: bytes) -> bool:
        return END in received or len(received) > MAX_HEAD_BYTES or received.startswith(_TLS_HANDSHAKE)

    def _take_request(self, connection: Connection) -> None:
        if connection.received.startswith(_TLS_HANDSHAKE):  # whose end would be waited for in vain
            self._refuse(connection, HTTPStatus.BAD_REQUEST)
            return
        end = connection.received.find(END)
        if not 0 <= end <= MAX_HEAD_BYTES:
            self._refuse(connection, _too_large(connection.received))
            return
        first, connection.received = connection.received[:end], connection.received[end + len(END) :]
        try:
            request = parse(first)
        except BadRequestError as error:
            self._refuse(connection, error.status)
            return
        if not self._security.still_holds(connection.tls) and not self._may_stay(connection):
            self.close(connection)
            return
        self._admit(connection, request)

    def _may_stay(self, connection: Connection) -> bool:
        """Tell whether a client that came before TLS was configured anew gets one more answer."""
        connection.closes = True
        return self._security.is_as_safe(connection.tls)

    # --- Answering -------------------------------------------------------------------------------------------

    def _admit(self, connection: Connection, request: Request) -> None:
        connection.request = request
        connection.closes = connection.closes or not request.keeps_connection
        connection.garbled = request.has_body  # which nobody reads
        if not self._security.policy.users:
            self._let_in(connection, request)
            return
        credentials = self._security.credentials(request.headers)
        known = self._security.logins.known(credentials) if credentials else Outcome.WRONG
        if known is Outcome.RIGHT:
            self._let_in(connection, request)
        elif known is Outcome.WRONG:
            self._turn_away(connection, _UNAUTHORIZED)
        elif credentials and self._security.logins.check(credentials, connection, self._login_checked, self._post):
            self._connections.put(connection, Stage.LOGIN)
        else:
            self._turn_away(connection, _TOO_MANY_LOGINS)

    def _login_checked(self, connection: Connection, outcome: Outcome) -> None:
        if connection.stage is not Stage.LOGIN or connection.request is None:
            return  # it has gone meanwhile
        if outcome is Outcome.RIGHT:
            self._let_in(connection, connection.request)
        else:
            self._turn_away(connection, _UNAUTHORIZED if outcome is Outcome.WRONG else _TOO_MANY_LOGINS)

    def _turn_away(self, connection: Connection, response: Response) -> None:
        limit = self._security.policy.limiter
        allowed = limit is None or limit.turned_away.allows()
        self._answer(connection, response if allowed else _TOO_MANY_REQUESTS, closes=True)

    def _let_in(self, connection: Connection, request: Request) -> None:
        limit = self._security.policy.limiter
        if limit is None or limit.let_in.allows():
            self._respond(connection, request)
        else:
            self._answer(connection, _TOO_MANY_REQUESTS)

    def _respond(self, connection: Connection, request: Request) -> None:
        if request.method not in _METHODS:
            self._answer(connection, _NOT_ALLOWED)
            return
        response = self._site.respond(request)
        if isinstance(response, Response):
            self._answer(connection, response)
            return
        self._connections.put(connection, Stage.TAKING)
        self._render(connection, request, response)

    def _render(self, connection: Connection, request: Request, job: Job) -> None:
        request = connection.request = replace(request)  # a new one, as the same may be asked again meanwhile

        def deliver(connection: Connection, response: Response) -> None:
            if connection.request is request:  # else it has gone meanwhile
                self._answer(connection, response)

        self._renderer.do(job, connection, deliver)

    def _refuse(self, connection: Connection, status: HTTPStatus) -> None:
        """Answer what is no request. Where the next one begins is anybody's guess, so there is none."""
        connection.garbled = True
        self._answer(connection, problem(status), closes=True)

    def _answer(self, connection: Connection, response: Response, *, closes: bool = False) -> None:
        request, connection.request = connection.request, None
        if connection.stage is Stage.LOGIN:
            self._security.logins.forget(connection)  # nobody waits for it any more
        connection.closes = connection.closes or closes or self.stopping
        first = head(response, closes=connection.closes, headers=self._security.policy.headers)
        body = b"" if request and request.method == "HEAD" else response.body
        connection.to_send = connection.transport.pieces(first, body)
        if request and log.isEnabledFor(logging.DEBUG):
            target = clean(f"{request.method} {request.path}")
            log.debug("%s: %s %d %d", connection.address, target, response.status, len(response.body))
        self._send(connection)

    # --- Sending ---------------------------------------------------------------------------------------------

    def _send(self, connection: Connection) -> None:
        try:
            if not connection.flush():
                if connection.stage is not Stage.TAKING:
                    self._connections.put(connection, Stage.TAKING)
                return
        except OSError:  # whoever goes away is not worth a line in the log
            self.close(connection)
            return
        if connection.closes:
            self._leave(connection)
            return
        self._connections.put(connection, Stage.RESTING)
        if connection.received or connection.ends:
            self.unread[connection] = None  # in its turn, so that who asks for much at once delays nobody

    def _leave(self, connection: Connection) -> None:
        """End a connection; if more may come, only once it is read and thrown away.

        Closing with bytes unread would reset the connection before the client has read the answer.
        """
        more = connection.garbled or bool(connection.received)
        connection.received = b""
        connection.transport.end()
        if connection.ends or not more:
            self.close(connection)
            return
        self._connections.put(connection, Stage.LEAVING)
        self.unread[connection] = None

    def _throw_away(self, connection: Connection) -> None:
        self.unread.pop(connection, None)
        came = connection.transport.throw_away()
        if came is None:
            return
        connection.thrown_away += came
        if not came or connection.thrown_away > _MOST_THROWN_AWAY:
            self.close(connection)


def _too_large(received: bytes) -> HTTPStatus:
    if b"\r\n" in received:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return HTTPStatus.REQUEST_URI_TOO_LONG
