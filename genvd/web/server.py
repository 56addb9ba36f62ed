"""The HTTP server: what the rest of the program does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.web.loop import Loop

if TYPE_CHECKING:
    from genvd.web.listening import Listening
    from genvd.web.security import Security
    from genvd.web.site import Site


class Server:
    """Serves a site on listening sockets."""

    def __init__(self, site: Site, security: Security, listening: Listening) -> None:
        self.listening = listening
        self._port = listening.port
        self._loop = Loop(site, security, listening.sockets)

    @property
    def port(self) -> int:
        """The port that is served."""
        return self._port

    def start(self) -> None:
        """Begin to serve, in a thread of its own."""
        self._loop.start()

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._loop.started

    def stop(self, *, take_queued: bool, heir: Server | None = None) -> None:
        """Take no further connections, answer what was asked already, and close.

        Args:
            take_queued: answer also who has connected and was not accepted yet; not so where the sockets live on and
                somebody else will accept them.
            heir: who goes on with some of the sockets, and with who waits in these.
        """
        if not self.started:
            if not take_queued:
                self.listening.close()
                return
            self.start()
        kept = [one for one in self.listening.sockets if not take_queued or (heir and heir.has(one.getsockname()))]
        self._loop.stop(kept)

    def has(self, place: tuple[object, ...]) -> bool:
        """Tell whether it serves on this address and port."""
        return self.listening.of(place) is not None
