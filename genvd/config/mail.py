"""Types of configuration values about messages: mail addresses, the mail server, the address of each user.

Alertmanager reads what is made of them as templates, so none of these types accepts braces.
"""

from __future__ import annotations

import re
from pathlib import Path

from genvd.config.values import Kind, listed, text

_ATOM = r"[0-9A-Za-z!#$%&'*+/=?^_`|~-]+"
"""An atom of RFC 5322, section 3.2.3, without braces, which begin a template of Alertmanager."""
_LOCAL = rf"{_ATOM}(?:\.{_ATOM})*"
_DOMAIN = r"[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?(?:\.[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?)*"

ADDRESS = re.compile(rf"(?=.{{3,254}}\Z){_LOCAL}@{_DOMAIN}")
"""Matches a mail address. Quoted local parts, comments and names before the address are left out."""

USERNAME = "{{username}}"
"""Stands for the name of the user in ``notify.user_address``."""

_LOCAL_WITH_USERNAME = re.compile(rf"({_ATOM}(?:\.{_ATOM})*\.?)?\{{\{{ *username *\}}\}}([0-9A-Za-z.+_-]*)")


def address() -> Kind:
    """Return the type of one mail address; it may be empty."""
    return text("a mail address, such as gpu-admins@example.org", rf"(?:{_LOCAL}@{_DOMAIN})?")


def addresses() -> Kind:
    """Return the type of a list of mail addresses; it may be empty."""

    def item(value: str) -> str:
        value = value.strip(" ")
        if not ADDRESS.fullmatch(value):
            raise ValueError("expected a mail address, such as gpu-admins@example.org")
        return value

    return listed(item, rf"{_LOCAL}@{_DOMAIN}")


def smarthost() -> Kind:
    """Return the type of a mail server, ``host:port``; it may be empty."""
    host = r"(?:[0-9A-Za-z_](?:[0-9A-Za-z_.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])"
    port = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
    return text("host:port of a mail server, such as mail.example.org:587", f"(?:{host}:{port})?")


def user_address() -> Kind:
    """Return the type of ``notify.user_address``: a mail address with ``{{username}}``, a path of a file, or nothing.

    Spaces within the braces are removed.
    """
    expected = (
        "an address with {{username}}, such as {{username}}@example.org, or the absolute path of a file with lines such"
        " as alice: alice.smith@example.org"
    )

    def parse(value: str) -> str | Path:
        if value.startswith("/") and value.isprintable():
            return Path(value)
        local, at, domain = value.rpartition("@")
        match = _LOCAL_WITH_USERNAME.fullmatch(local)
        if value and not (at and match and ADDRESS.fullmatch(f"{match[1] or ''}a{match[2]}@{domain}")):
            raise ValueError(f"expected {expected}")
        return f"{match[1] or ''}{USERNAME}{match[2]}@{domain}" if match else ""

    pattern = rf"{_LOCAL_WITH_USERNAME.pattern}@{_DOMAIN}"
    return Kind(parse, {"type": "string", "pattern": f"^(?:/.*|{pattern})?$"})
