"""A TLS client that does what Python's ssl does not offer, by OpenSSL itself: see SSL_key_update(3)."""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.needs import need

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_FUNCTIONS = {
    "TLS_client_method": (_POINTER, ()),
    "SSL_CTX_new": (_POINTER, (_POINTER,)),
    "SSL_CTX_free": (None, (_POINTER,)),
    "SSL_CTX_ctrl": (ctypes.c_long, (_POINTER, _INT, ctypes.c_long, _POINTER)),
    "SSL_new": (_POINTER, (_POINTER,)),
    "SSL_free": (None, (_POINTER,)),
    "SSL_set_fd": (_INT, (_POINTER, _INT)),
    "SSL_connect": (_INT, (_POINTER,)),
    "SSL_key_update": (_INT, (_POINTER, _INT)),
    "SSL_renegotiate": (_INT, (_POINTER,)),
    "SSL_do_handshake": (_INT, (_POINTER,)),
}
_SET_MAX_VERSION, _TLS12 = 124, 0x0303
"""SSL_CTRL_SET_MAX_PROTO_VERSION and TLS1_2_VERSION of openssl/ssl.h and openssl/prov_ssl.h."""


class TlsClient:
    """A connection that is established."""

    def __init__(self, library: ctypes.CDLL, session: int) -> None:
        self._library = library
        self._session = session

    def update_keys(self) -> bool:
        """Send a KeyUpdate message (RFC 8446, section 4.6.3); tell whether it went."""
        return self._library.SSL_key_update(self._session, 0) == 1 and self._handshakes()

    def renegotiate(self) -> bool:
        """Negotiate again, as TLS 1.2 allows; tell whether the server did."""
        return self._library.SSL_renegotiate(self._session) == 1 and self._handshakes()

    def _handshakes(self) -> bool:
        return bool(self._library.SSL_do_handshake(self._session) == 1)


@contextmanager
def tls_client(address: tuple[str, int], *, tls12: bool = False) -> Iterator[TlsClient]:
    """Connect, without a look at the certificate."""
    name = ctypes.util.find_library("ssl")
    need(name, "needs libssl")
    library = ctypes.CDLL(name)
    for function, (result, arguments) in _FUNCTIONS.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    context = library.SSL_CTX_new(library.TLS_client_method())
    if tls12:
        library.SSL_CTX_ctrl(context, _SET_MAX_VERSION, _TLS12, None)
    session = library.SSL_new(context)
    with socket.create_connection(address, timeout=20) as connected:
        connected.setblocking(True)  # OpenSSL knows no other timeout
        library.SSL_set_fd(session, connected.fileno())
        try:
            assert library.SSL_connect(session) == 1
            yield TlsClient(library, session)
        finally:
            library.SSL_free(session)
            library.SSL_CTX_free(context)
