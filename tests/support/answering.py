"""A server that answers what a test says, whatever it is asked."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Be a server that gives those who ask these answers in turn, and the last one ever after."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            for number in count():
                with suppress(OSError), closing(listener.accept()[0]) as client:
                    client.recv(65536)
                    client.sendall(answers[min(number, len(answers) - 1)])
                if stopped.is_set():
                    return

        stopped = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def http(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
