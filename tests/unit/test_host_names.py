"""The host names of this machine, while its full name is looked up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from genvd.common.host_names import HostNames
from genvd.web.site import Site
from tests.support.waiting import wait_for

FULL = "gpu1.cluster.example.org"


class Resolver:
    """Stands in for getaddrinfo; each lookup ends when a test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self.name = FULL
        self._answers = threading.Semaphore(0)

    def getaddrinfo(self, *_: object, **__: object) -> list[tuple[object, ...]]:
        self.asked += 1
        self._answers.acquire()
        if not self.name:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, self.name, ("192.0.2.1", 0))]

    def answer(self, name: str = FULL) -> None:
        """Let one lookup end."""
        self.name = name
        self._answers.release()

    def release(self) -> None:
        """Let all lookups end."""
        self._answers.release(100)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.release()


def wait_for_full_name(host_names: HostNames) -> HostNames:
    """Return it when it has its full name."""
    wait_for(lambda: host_names.allows(FULL), "the full name is known")
    return host_names


def test_the_full_name_stays_known_while_it_is_looked_up_again(resolver: Resolver) -> None:
    host_names = HostNames()
    host_names.set_configured(("a.example.org",))
    assert not host_names.allows(FULL)
    resolver.answer()
    wait_for_full_name(host_names).set_configured(("b.example.org",))
    assert host_names.allows(f"{FULL.upper()}.:8000")
    assert (host_names.allows("a.example.org"), host_names.allows("b.example.org")) == (False, True)


def test_a_failed_lookup_keeps_the_name_and_a_new_name_replaces_it(resolver: Resolver) -> None:
    host_names = HostNames()
    for answer in (FULL, ""):
        host_names.set_configured(())
        resolver.answer(answer)
        _wait_for_lookups()
        assert host_names.allows(FULL)
    host_names.set_configured(())
    resolver.answer("other.example.org")
    wait_for(lambda: host_names.allows("other.example.org"), "the new name is known")
    assert not host_names.allows(FULL)


def test_nothing_is_looked_up_before_names_are_configured(resolver: Resolver) -> None:
    site = Site()
    assert site.host_names.allows("localhost")
    assert site.host_names.allows(socket.gethostname())
    assert resolver.asked == 0


def _wait_for_lookups() -> None:
    for thread in threading.enumerate():
        if thread.name == "full name":
            thread.join(timeout=20)
