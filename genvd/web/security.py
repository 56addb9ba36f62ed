"""The active web configuration: TLS, users, headers and rate limit. It is reloaded when one of its files changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.error_log import ErrorLog
from genvd.config.web import WebConfig, read_web_config
from genvd.config.yaml_reader import ConfigError, describe_unexpected
from genvd.web.basic_auth import BasicAuth
from genvd.web.tls import Tls, TlsError

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.model.snapshot import CertificateValidity


log = logging.getLogger(__name__)

_RELOAD, _CERTIFICATE = "reload", "certificate"
"""Keys of the error log. The key of a certificate is a pair of the second one and its name."""

_CHECK_SECONDS = 1.0
"""Minimum time between two checks of the files. A check is made at a new connection or a collection."""

_IF_INVALID = {
    "server": "clients that verify it cannot connect: replace it (no restart is needed), or correct the clock",
    "client_ca": "clients whose certificates it signed are rejected: replace it, or correct the clock",
}
"""What follows if a certificate is not valid, and what to do."""


class Policy(NamedTuple):
    """The settings for connections and requests."""

    tls: Tls | None = None
    users: Mapping[str, str] = MappingProxyType({})
    headers: tuple[tuple[str, str], ...] = ()
    rate_limiter: RateLimiter | None = None

    @property
    def certificate_ends(self) -> tuple[CertificateValidity, ...]:
        """The validity of the certificates; see :class:`genvd.web.tls.Tls`."""
        return self.tls.certificate_ends if self.tls else ()


class LoadedWebConfig(NamedTuple):
    """A web configuration that was read, and can be applied."""

    path: Path | None
    policy: Policy
    files: tuple[Path, ...]
    signature: tuple[object, ...]
    """The inodes, sizes and times of the files when they were read."""

    @property
    def warning(self) -> str:
        """A setting that has no effect here, in one line; empty if there is none."""
        tls = self.policy.tls
        return f"{self.path}: {tls.warning}" if tls and tls.warning else ""

    def invalid_certificates(self) -> dict[str, str]:
        """Return the certificates (``server``, ``client_ca``) that are not valid now, with a message for each."""
        now = time.time()
        found = {validity.certificate: validity.invalidity(now) for validity in self.policy.certificate_ends}
        return {
            name: f"{self.path}: {self.policy.tls.labels[name]}: {wrong}; {_IF_INVALID[name]}"
            for name, wrong in found.items()
            if wrong and self.policy.tls
        }


def load_web_config(path: Path | None) -> LoadedWebConfig:
    """Return the configuration in a file; without a file everybody may connect.

    Raises:
        ConfigError: the file, or a certificate or key that it names, cannot be used.
    """
    loaded, problems = _read_files(path, ())
    if problems:
        raise ConfigError(problems)
    return loaded


class Security:
    """The web configuration in use. Each request uses the current policy."""

    def __init__(self, loaded: LoadedWebConfig | None = None) -> None:
        self._loaded = loaded or load_web_config(None)
        self._seen_signature = self._loaded.signature
        """The signature of the files that were read last, even if that version was rejected."""
        self._files = self._loaded.files
        self._next_check = 0.0
        self._lock = threading.Lock()
        self._errors = ErrorLog(log)
        self.successful = True
        """Whether the last attempt to load the configuration succeeded."""
        self.basic_auth = BasicAuth()
        self.apply(self._loaded)

    @property
    def policy(self) -> Policy:
        """The current policy."""
        return self._loaded.policy

    def apply(self, loaded: LoadedWebConfig) -> None:
        """Use a configuration from now on."""
        with self._lock:
            self._apply(loaded)

    def _apply(self, loaded: LoadedWebConfig) -> None:
        if loaded.warning:
            log.warning("%s", loaded.warning)
        self.basic_auth.set_users(loaded.policy.users)
        self._loaded = loaded
        self._seen_signature, self._files = loaded.signature, loaded.files
        self._errors.clear(_RELOAD, "web configuration reload succeeds again")
        self.successful = True

    def reload_if_changed(self) -> None:
        """Reload the files if they have changed. An invalid configuration changes nothing.

        A version without protections that the previous one had is not applied either: the file may be incomplete
        because it is being written, or because the disk is full. Only :meth:`apply` accepts it.
        """
        if self._loaded.path is None or time.monotonic() < self._next_check or not self._lock.acquire(blocking=False):
            return
        try:
            self._next_check = time.monotonic() + _CHECK_SECONDS
            signature = _signature(self._files)
            if signature != self._seen_signature:
                self._reload()
            self._check_certificates()
        except Exception as error:  # no error may disturb connections and collections
            self._report_failure([describe_unexpected(self._loaded.path or "", error)])
        finally:
            self._lock.release()

    def _check_certificates(self) -> None:
        """Log once which certificates are not valid, and when they are valid again."""
        invalid = self._loaded.invalid_certificates()
        for name, line in invalid.items():
            self._errors.report((_CERTIFICATE, name), line)
        for key in [key for key in self._errors.active if key != _RELOAD]:
            if key not in {(_CERTIFICATE, name) for name in invalid}:
                self._errors.clear(key, "the certificates of the web configuration are valid now")

    def _reload(self) -> None:
        """Read the files again, and apply them unless they are invalid or lack an earlier protection."""
        loaded, problems = _read_files(self._loaded.path, self._files)
        self._seen_signature, self._files = loaded.signature, loaded.files
        if problems:
            self._report_failure(problems)
            return
        if lost := _lost_protections(self._loaded.policy, loaded.policy):
            self.successful = False
            text = (
                f"{loaded.path}: no longer has {' and '.join(lost)}; still using the previous version; correct the"
                " file, or run 'systemctl reload genv-monitor' if this is intended"
            )
            self._errors.report(_RELOAD, text)
            return
        self._apply(loaded)
        log.info("the web configuration has changed and was reloaded")

    def _report_failure(self, problems: list[str]) -> None:
        """Keep the previous configuration, and log each reason once."""
        self.successful = False
        text = "web configuration reload failed; still using the previous one"
        if self._errors.report(_RELOAD, text, kind=tuple(problems), level=logging.ERROR):
            for problem in problems:
                log.error("%s", problem)

    def still_allows(self, tls: Tls | None) -> bool:
        """Return whether the current policy would also accept a connection that was made with older TLS settings."""
        current = self.policy.tls
        return current is None or (tls is not None and tls.client_requirements == current.client_requirements)


def _lost_protections(old: Policy, new: Policy) -> list[str]:
    """Return the protections that the previous policy had and the new one does not."""
    lost = []
    if old.tls and not new.tls:
        lost.append("TLS")
    elif old.tls and new.tls and old.tls.verify_level > new.tls.verify_level:
        lost.append("client_auth_type RequireAndVerifyClientCert" if new.tls.verify_level else "client_auth_type")
    elif old.tls and new.tls and old.tls.checks_sans > new.tls.checks_sans:
        lost.append("client_allowed_sans")
    if old.users and not new.users:
        lost.append("users")
    return lost


def _read_files(path: Path | None, files: tuple[Path, ...]) -> tuple[LoadedWebConfig, list[str]]:
    """Read the configuration. The signature is never newer than the content."""
    if path is None:
        return LoadedWebConfig(None, Policy(), (), ()), []
    files = files or (path,)
    for _ in range(3):  # until the signature is that of the files that were read
        signature = _signature(files)
        reading = read_web_config(path)
        policy, problems = _make_policy(reading.config, reading.problems, path)
        if reading.files == files:
            break
        files = reading.files
    return LoadedWebConfig(path, policy, files, signature), problems


def _make_policy(config: WebConfig, problems: list[str], path: Path) -> tuple[Policy, list[str]]:
    tls = None
    if config.tls:
        try:
            tls = Tls(config.tls)
        except TlsError as error:
            problems = [*problems, f"{path}:{error.line}: {error}"]
        except Exception as error:
            problems = [*problems, describe_unexpected(path, error)]
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
    """A token bucket: each request takes a token, and each interval adds one."""

    def __init__(self, interval: float, burst: int) -> None:
        """Create a full bucket.

        Args:
            interval: seconds after which a token is added.
            burst: maximum number of tokens.
        """
        self._interval = interval
        self._burst = burst
        self._tokens = float(burst)
        self._counted = time.monotonic()

    def try_acquire(self) -> bool:
        """Take a token; return whether there was one."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) / self._interval)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateLimiter:
    """``rate_limit``, with a separate bucket for unauthenticated requests: wrong passwords cost others nothing."""

    def __init__(self, interval: float, burst: int) -> None:
        """Create both buckets; the arguments are those of :class:`TokenBucket`."""
        self.admitted = TokenBucket(interval, burst)
        self.rejected = TokenBucket(interval, burst)
