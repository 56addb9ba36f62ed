"""Who may connect and how, as the web configuration says it, which is read again whenever it changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvd.common.error_log import ErrorLog
from genvd.config.web import WebConfig, read
from genvd.config.yaml_reader import ConfigError, unexpected
from genvd.web.basic_auth import BasicAuth
from genvd.web.tls import Tls, TlsError

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.model.snapshot import CertificateValidity


log = logging.getLogger(__name__)

_RELOAD, _CERTIFICATE = "reload", "certificate"
"""What can go wrong."""

_CHECK_SECONDS = 1.0
"""From one look at the files to the next, at least. There is none without a new connection or a collection."""


_IF_INVALID = {
    "server": "nobody who checks it connects: put a valid one in its place, which needs no restart, or set the clock",
    "client_ca": "clients that it signed are refused: put a valid one in its place, or set the clock",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a connection or a request."""

    tls: Tls | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    rate_limiter: RateLimiter | None = None

    @property
    def certificate_ends(self) -> tuple[CertificateValidity, ...]:
        """When certificates are valid; see :class:`genvd.web.tls.Tls`."""
        return self.tls.certificate_ends if self.tls else ()


@dataclass(frozen=True, slots=True)
class LoadedWebConfig:
    """A configuration that can be put in force."""

    path: Path | None
    policy: Policy
    files: tuple[Path, ...]
    signature: tuple[object, ...]
    """What the files looked like."""

    @property
    def warning(self) -> str:
        """What is not as the configuration says, though it can be used, in one line; empty for nothing."""
        tls = self.policy.tls
        return f"{self.path}: {tls.warning}" if tls and tls.warning else ""

    def invalid_certificates(self) -> dict[str, str]:
        """Return ``server`` and ``client_ca``, if they are not valid now, with a line about each."""
        now = time.time()
        found = {one.certificate: one.invalidity(now) for one in self.policy.certificate_ends}
        return {
            name: f"{self.path}: {self.policy.tls.labels[name]}: {wrong}; {_IF_INVALID[name]}"
            for name, wrong in found.items()
            if wrong and self.policy.tls
        }


def load(path: Path | None) -> LoadedWebConfig:
    """Return what the web configuration file says; without a file everybody may connect.

    Raises:
        ConfigError: something is wrong with it, or with what it refers to.
    """
    loaded, problems = _try(path, ())
    if problems:
        raise ConfigError(problems)
    return loaded


class Security:
    """The policy in force. Each request asks for it anew."""

    def __init__(self, loaded: LoadedWebConfig | None = None) -> None:
        self._loaded = loaded or load(None)
        self._seen_signature = self._loaded.signature
        self._files = self._loaded.files
        self._next_check = 0.0
        self._lock = threading.Lock()
        self._errors = ErrorLog(log)
        self.successful = True
        """Whether the configuration could be used when it was last read."""
        self.basic_auth = BasicAuth()
        self.apply(self._loaded)

    @property
    def policy(self) -> Policy:
        """What holds now."""
        return self._loaded.policy

    def apply(self, loaded: LoadedWebConfig) -> None:
        """Put a configuration in force."""
        with self._lock:
            self._apply(loaded)

    def _apply(self, loaded: LoadedWebConfig) -> None:
        if loaded.warning:
            log.warning("%s", loaded.warning)
        self.basic_auth.set_users(loaded.policy.users)
        self._loaded = loaded
        self._seen_signature, self._files = loaded.signature, loaded.files
        self._errors.clear(_RELOAD, "the web configuration can be used again")
        self.successful = True

    def reload_if_changed(self) -> None:
        """Read the files again if they have changed; what is broken leaves all as it is.

        So does what would let in whoever was kept out: a file that is just being written, or could not be written on a
        full disk, is shorter than it should be. Only :meth:`adopt` takes that.
        """
        if self._loaded.path is None or time.monotonic() < self._next_check or not self._lock.acquire(blocking=False):
            return
        try:
            self._next_check = time.monotonic() + _CHECK_SECONDS
            signature = _signature(self._files)
            if signature != self._seen_signature:
                self._read_again()
            self._check_certificates()
        except Exception as error:  # connections and collections go on by the rules of before, whatever it is
            self._failed([unexpected(self._loaded.path or "", error)])
        finally:
            self._lock.release()

    def _check_certificates(self) -> None:
        """Say which certificates in force are not valid, once, and when they are again."""
        invalid = self._loaded.invalid_certificates()
        for name, line in invalid.items():
            self._errors.report((_CERTIFICATE, name), line)
        for key in [key for key in self._errors.active if key != _RELOAD]:
            if key not in {(_CERTIFICATE, name) for name in invalid}:
                self._errors.clear(key, "the certificates of the web configuration are valid now")

    def _read_again(self) -> None:
        loaded, problems = _try(self._loaded.path, self._files)
        self._seen_signature, self._files = loaded.signature, loaded.files
        if problems:
            self._failed(problems)
            return
        if lost := _lost_protections(self._loaded.policy, loaded.policy):
            self.successful = False
            text = (
                f"{loaded.path}: has no {' and no '.join(lost)} any more; the version before holds until a reload:"
                " 'systemctl reload genv-monitor' if that is meant, else put the file right"
            )
            self._errors.report(_RELOAD, text)
            return
        self._apply(loaded)
        log.info("the web configuration was read anew")

    def _failed(self, problems: list[str]) -> None:
        """Go on by the rules of before, and say why, once for each reason."""
        self.successful = False
        text = "the web configuration was not read again; the one before still holds"
        if self._errors.report(_RELOAD, text, kind=tuple(problems), level=logging.ERROR):
            for problem in problems:
                log.error("%s", problem)

    def still_allows(self, tls: Tls | None) -> bool:
        """Tell whether a connection that was made under an older configuration would be let in by this one as well."""
        now = self.policy.tls
        return now is None or (tls is not None and tls.client_requirements == now.client_requirements)


def _lost_protections(before: Policy, after: Policy) -> list[str]:
    """Return in words what kept people out by the policy before, and is missing in the one after it."""
    lost = []
    if before.tls and not after.tls:
        lost.append("TLS")
    elif before.tls and after.tls and before.tls.verify_level > after.tls.verify_level:
        lost.append("client_auth_type RequireAndVerifyClientCert" if after.tls.verify_level else "client_auth_type")
    elif before.tls and after.tls and before.tls.checks_sans > after.tls.checks_sans:
        lost.append("client_allowed_sans")
    if before.users and not after.users:
        lost.append("users")
    return lost


def _try(path: Path | None, files: tuple[Path, ...]) -> tuple[LoadedWebConfig, list[str]]:
    """Read the configuration; the signature is never younger than what was read."""
    if path is None:
        return LoadedWebConfig(None, Policy(), (), ()), []
    files = files or (path,)
    for _ in range(3):  # until the files whose signature was taken are those that were read
        signature = _signature(files)
        reading = read(path)
        policy, problems = _policy(reading.config, reading.problems, path)
        if reading.files == files:
            break
        files = reading.files
    return LoadedWebConfig(path, policy, files, signature), problems


def _policy(config: WebConfig, problems: list[str], path: Path) -> tuple[Policy, list[str]]:
    tls = None
    if config.tls:
        try:
            tls = Tls(config.tls)
        except TlsError as error:
            problems = [*problems, f"{path}:{error.line}: {error}"]
        except Exception as error:
            problems = [*problems, unexpected(path, error)]
    rate_limiter = RateLimiter(config.request_interval, config.request_burst) if config.request_interval else None
    return Policy(tls, config.users, config.headers, rate_limiter), problems


def _signature(files: tuple[Path, ...]) -> tuple[object, ...]:
    return tuple(map(_file_state, files))


def _file_state(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class TokenBucket:
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

    def try_acquire(self) -> bool:
        """Take a token; tell whether there was one."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) / self._interval)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateLimiter:
    """``rate_limit``, for who is let in and for who is not: a flood of wrong passwords takes nobody else's tokens."""

    def __init__(self, interval: float, burst: int) -> None:
        """Make one of which nothing is used; the arguments are those of :class:`TokenBucket`, and hold for each."""
        self.admitted = TokenBucket(interval, burst)
        self.rejected = TokenBucket(interval, burst)
