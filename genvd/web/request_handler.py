"""Handles a request: authentication, rate limit, and the response of the site."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING

from genvd.common.error_log import ErrorLog
from genvd.web.basic_auth import PasswordChecker, parse_credentials
from genvd.web.login_queue import Outcome
from genvd.web.response import Job, Response, error_response

if TYPE_CHECKING:
    from genvd.web.request import Request
    from genvd.web.security import Security
    from genvd.web.site import Site

log = logging.getLogger(__name__)

MAX_JOBS = 32
"""Maximum number of responses that are being rendered or wait for it. It is reached only if rendering hangs."""

_METHODS = ("GET", "HEAD")
_NOT_ALLOWED = error_response(
    HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served.", (("Allow", ", ".join(_METHODS)),)
)
_RETRY = (("Retry-After", "1"),)
_TOO_MANY_REQUESTS = error_response(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; see rate_limit.", _RETRY)
_TOO_MANY_JOBS = error_response(
    HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages to render. Try again in a moment.", _RETRY
)
TOO_MANY_LOGINS = error_response(
    HTTPStatus.SERVICE_UNAVAILABLE, "Too many logins at the same time. Try again in a moment.", _RETRY
)
UNAUTHORIZED = error_response(
    HTTPStatus.UNAUTHORIZED, headers=(("WWW-Authenticate", 'Basic realm="genv-monitor", charset="UTF-8"'),)
)


class RequestHandler:
    """Handles requests in the event loop, and leaves slow work to threads."""

    def __init__(self, site: Site, security: Security) -> None:
        self._site = site
        self._security = security
        self._passwords = PasswordChecker(security.basic_auth)
        self._renderer = ThreadPoolExecutor(1, "renderer")
        self._rendering: dict[Hashable, asyncio.Future[Response]] = {}
        self._errors = ErrorLog(log)  # used only in the renderer's thread

    async def authenticate(self, request: Request, address: str) -> Outcome:
        """Return whether a request is authenticated. It may have to wait until its password is checked."""
        if not self._security.policy.users:
            return Outcome.RIGHT
        given = parse_credentials(request.headers)
        return await self._passwords.check(given, address) if given else Outcome.WRONG

    def rejection(self, outcome: Outcome) -> Response:
        """Return the response to a request that was not authenticated."""
        limit = self._security.policy.rate_limiter
        if limit and not limit.rejected.try_acquire():
            return _TOO_MANY_REQUESTS
        return UNAUTHORIZED if outcome is Outcome.WRONG else TOO_MANY_LOGINS

    async def respond(self, request: Request) -> Response:
        """Return the response to an authenticated request."""
        limit = self._security.policy.rate_limiter
        if limit and not limit.admitted.try_acquire():
            return _TOO_MANY_REQUESTS
        if request.method not in _METHODS:
            return _NOT_ALLOWED
        response = self._site.respond(request._replace(user=self._login(request)))
        return await self._render(response) if isinstance(response, Job) else response

    def _login(self, request: Request) -> str | None:
        """Return the user whose password was checked for this request; None without a login."""
        given = parse_credentials(request.headers) if self._security.policy.users else None
        checked = given and self._security.basic_auth.cached_outcome(given) is Outcome.RIGHT
        return given.user if given and checked else None

    async def _render(self, job: Job) -> Response:
        """Return the response of a job. Requests for a job that is already running wait for the same response."""
        running = self._rendering.get(job.key)
        if running is None:
            if len(self._rendering) >= MAX_JOBS:
                return _TOO_MANY_JOBS
            running = asyncio.get_running_loop().run_in_executor(self._renderer, self._make, job)
            self._rendering[job.key] = running
            running.add_done_callback(lambda _: self._rendering.pop(job.key))
        return await asyncio.shield(running)

    def _make(self, job: Job) -> Response:
        try:
            response = job.make()
        except Exception as error:
            self._errors.defect("rendering", "rendering a page", error)
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR)
        self._errors.clear("rendering", "rendering works again")
        return response

    def close(self) -> None:
        """Start no more work in the threads."""
        self._passwords.close()
        self._renderer.shutdown(wait=False, cancel_futures=True)
