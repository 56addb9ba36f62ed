"""The least that a server of our kind can do: one thread, epoll, connections that stay open, and always the same body.

``python -m tests.benchmarks.constant FILE``. It does not even look at what it is asked.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
from pathlib import Path

from tests.benchmarks.orders import obey

_END = b"\r\n\r\n"


def main(file: str) -> None:
    """Serve it until the end."""
    body = Path(file).read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(listener, (head.encode(), body)), daemon=True).start()
    obey({}, port=listener.getsockname()[1])


def _serve(listener: socket.socket, answer: tuple[bytes, bytes]) -> None:
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    left: dict[int, list[memoryview]] = {}
    while True:
        for descriptor, events in epoll.poll():
            if descriptor == listener.fileno():
                accepted, _ = listener.accept()
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[accepted.fileno()] = accepted
                epoll.register(accepted, select.EPOLLIN)
                continue
            client = clients[descriptor]
            if events & select.EPOLLIN:
                came = client.recv(65536)
                if not came.endswith(_END):
                    clients.pop(descriptor).close()
                    continue
                left[descriptor] = [memoryview(part) for part in answer]
            elif events & (select.EPOLLHUP | select.EPOLLERR):
                clients.pop(descriptor).close()
                continue
            parts = left[descriptor]
            _send(client, parts)
            if bool(parts) != bool(events & select.EPOLLOUT):
                epoll.modify(descriptor, select.EPOLLOUT if parts else select.EPOLLIN)


def _send(client: socket.socket, parts: list[memoryview]) -> None:
    try:
        while parts:
            sent = client.sendmsg(parts)
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = parts[0][sent:]
    except BlockingIOError:
        pass


if __name__ == "__main__":
    main(sys.argv[1])
