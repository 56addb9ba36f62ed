"""One HTTP/1.1 connection: h11 parses its requests, and they are answered one after the other (RFC 9112)."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from genvd.common.text import clean
from genvd.web.connections import MAX_TLS_CONNECTIONS, TIMEOUTS, Connections, Stage
from genvd.web.login_queue import Outcome
from genvd.web.request import MAX_HEAD_BYTES, BadRequestError, Request, from_event
from genvd.web.response import Response, error_response
from genvd.web.streams import PlainStream, TlsStream

if TYPE_CHECKING:
    import socket

    from genvd.common.error_log import ErrorLog
    from genvd.web.request_handler import RequestHandler
    from genvd.web.security import Security
    from genvd.web.streams import Stream
    from genvd.web.tls import Tls

log = logging.getLogger(__name__)

_MAX_DISCARDED = 1024 * 1024
"""Bytes that are read and discarded after a rejected request, so that the client can read the response."""


class Context:
    """What all connections of a server share."""

    def __init__(self, handler: RequestHandler, security: Security, errors: ErrorLog) -> None:
        self.handler = handler
        self.security = security
        self.errors = errors
        self.connections: Connections[HttpConnection] = Connections()
        """Connections without TLS, or before the TLS handshake."""
        self.encrypted: Connections[HttpConnection] = Connections()
        """Connections with TLS, which take more memory."""
        self.stopping = False
        """Whether each connection is closed after the current response."""


class HttpConnection:
    """One connection, from accept to close."""

    def __init__(self, context: Context, accepted: socket.socket, address: str, tls: Tls | None) -> None:
        """Take over a connected socket and serve it in a task.

        Args:
            context: what all connections of the server share.
            accepted: the socket, which must be non-blocking.
            address: the client's address, without the port.
            tls: the TLS settings; when they are reloaded, the client must connect again.
        """
        self.stage: Stage | None = None
        self._context = context
        self._table = context.connections
        self._address = address
        self._tls = tls
        plain = PlainStream(accepted)
        self._stream: Stream = TlsStream(plain, tls, self._begin_tls) if tls else plain
        self._http: h11.Connection | None = None
        """None until a request begins, so that idle connections take little memory."""
        self._wants_body = True
        """Whether the response has a body; false for HEAD."""
        self._unread_body = False
        """Whether the client may send bytes that are not a request."""
        self._rejection: Response | None = None
        """The response to a client that was too slow or sent an invalid request."""
        self._timer: asyncio.TimerHandle | None = None
        self.enter(Stage.NEW)
        self.task = asyncio.create_task(self._run())

    def enter(self, stage: Stage) -> None:
        """Enter a stage, and start its timeout."""
        self._table.put(self, stage)
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(TIMEOUTS[stage], self._on_timeout)

    def _begin_tls(self) -> None:
        if victim := self._context.encrypted.victim_if_full(MAX_TLS_CONNECTIONS):
            victim.close()
        self._table.remove(self)
        self._table = self._context.encrypted
        self.enter(Stage.NEW)

    def close(self) -> None:
        """Close the connection at once."""
        if self.stage is None:
            return
        self._table.remove(self)
        if self._timer:
            self._timer.cancel()
        self.task.cancel()
        self._stream.close()
        self._http = None

    def _on_timeout(self) -> None:
        """Answer with an error if the client can still read one; otherwise close the connection."""
        if self._rejection is None:
            if self.stage is Stage.AUTHENTICATING:
                self._rejection = self._context.handler.rejection(Outcome.UNCHECKED)
            elif self.stage is Stage.NEW and self._http:
                self._rejection = error_response(HTTPStatus.REQUEST_TIMEOUT)
            if self._rejection:
                self.task.cancel()
                return
        self.close()

    async def _run(self) -> None:
        """Serve the client until one side closes the connection."""
        try:
            await self._serve()
        except (OSError, ValueError) as error:  # clients that disconnect are normal
            log.debug("connection from %s closed: %s", self._address, error)
            error.__traceback__ = None  # asyncio makes a reference cycle of it, which contains the connection
        except Exception as error:
            self._context.errors.defect("connection", "a connection", error)
        finally:
            self.close()
            del self.task  # its exception refers to the frames, and they to the connection: much memory, freed late

    async def _serve(self) -> None:
        """Answer the requests one after the other."""
        try:
            while event := await self._next_request():
                await self._answer(event)
                if not self._prepare_for_next_request():
                    break
                await asyncio.sleep(0)  # requests that have arrived are read without waiting, so let others run
            else:
                return
        except h11.RemoteProtocolError as error:
            self._rejection = error_response(self._status_of(error))
            error.__traceback__ = None  # h11 makes a reference cycle of it
        except BadRequestError as error:
            self._rejection = error_response(error.status)
        except asyncio.CancelledError:
            if self._rejection is None or self.stage is None:
                raise
        if self._rejection:
            await self._reject(self._rejection)
        await self._linger()

    # --- Reading -----------------------------------------------------------------------------------------------

    async def _next_request(self) -> h11.Request | None:
        """Return the next request; None if the client closed the connection."""
        while True:
            event = self._http.next_event() if self._http else h11.NEED_DATA
            if isinstance(event, h11.Request):
                self._wants_body = event.method != b"HEAD"
                return event
            received = await self._stream.read() if event is h11.NEED_DATA else b""
            if not received:
                return None
            self._feed(received)

    def _feed(self, received: bytes) -> None:
        if self.stage is Stage.IDLE:
            self.enter(Stage.RECEIVING)
        if self._http is None:
            received = received.lstrip(b"\r\n")  # RFC 9112, section 2.2
            if not received:
                return
            self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._http.receive_data(received)

    def _status_of(self, error: h11.RemoteProtocolError) -> HTTPStatus:
        status = HTTPStatus(error.error_status_hint)
        if status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and b"\r\n" not in self._unread:
            return HTTPStatus.REQUEST_URI_TOO_LONG
        return status

    @property
    def _unread(self) -> bytes:
        """The bytes that were received after the last request."""
        return self._http.trailing_data[0] if self._http else b""

    # --- Answering ---------------------------------------------------------------------------------------------

    async def _answer(self, event: h11.Request) -> None:
        """Answer a request.

        Raises:
            ConnectionAbortedError: TLS was reconfigured, and the new settings would not accept this client.
        """
        assert self._http
        request = from_event(event)
        security = self._context.security
        outdated = security.policy.tls is not self._tls
        if outdated and not security.still_allows(self._tls):
            raise ConnectionAbortedError("the client connected before TLS was reconfigured")
        self._unread_body = request.has_body
        if not request.has_body:
            self._http.next_event()  # the end of the request
        response, closes = await self._response(request)
        await self._send(response, closes=closes or outdated or request.has_body)
        if log.isEnabledFor(logging.DEBUG):
            target = clean(f"{request.method} {request.path}")
            log.debug("%s: %s %d %d", self._address, target, response.status, len(response.body))

    async def _response(self, request: Request) -> tuple[Response, bool]:
        """Return the response, and whether the connection must be closed after it."""
        handler, errors = self._context.handler, self._context.errors
        self.enter(Stage.AUTHENTICATING)
        try:
            outcome = await handler.authenticate(request, self._address)
            self.enter(Stage.PREPARING)
            if outcome is not Outcome.RIGHT:
                return handler.rejection(outcome), True
            response = await handler.respond(request)
        except Exception as error:
            errors.defect("request", "a request", error)
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR), True
        errors.clear("request", "requests succeed again")
        return response, False

    async def _reject(self, response: Response) -> None:
        """Answer an invalid request, and accept no more: it is unknown where the next one begins."""
        self._unread_body = True
        await self._send(response, closes=True)

    async def _send(self, response: Response, *, closes: bool) -> None:
        """Send a response. h11 checks it without copying its body."""
        assert self._http
        self.enter(Stage.SENDING)
        closes = closes or self._context.stopping
        fields = response.fields(closes=closes, configured=self._context.security.policy.headers)
        reason = HTTPStatus(response.status).phrase.encode()
        head = self._http.send(h11.Response(status_code=response.status, headers=fields, reason=reason))
        body = response.body if self._wants_body else b""
        if body:
            self._http.send_with_data_passthrough(h11.Data(data=body))
        self._http.send(h11.EndOfMessage())
        await self._stream.write(head or b"", body)

    def _prepare_for_next_request(self) -> bool:
        """Prepare for the next request, which may have arrived already; return whether there may be one."""
        assert self._http
        if self._http.our_state is not h11.DONE:
            return False
        unread, self._http = self._unread, None
        self.enter(Stage.IDLE)
        if unread:
            self._feed(unread)
        return True

    async def _linger(self) -> None:
        """Close the sending side; if the client may send more, read and discard that first.

        Closing a socket with unread bytes resets the connection, possibly before the client has read the response.
        """
        self._stream.end()
        if not self._unread_body and not self._unread:
            return
        self.enter(Stage.LINGERING)
        discarded = 0
        while discarded <= _MAX_DISCARDED and (received := await self._stream.discard()):
            discarded += received
