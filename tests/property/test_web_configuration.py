"""The web configuration, with any content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property import holds

HASH = "$2y$10$" + "a" * 53
KEYS = {
    "tls_server_config": ("cert_file", "key_file", "cert", "key", "client_auth_type", "client_ca_file", "min_version"),
    "http_server_config": ("http2", "headers"),
    "basic_auth_users": ("alice", ""),
    "rate_limit": ("interval", "burst"),
}
VALUE = st.recursive(
    st.text(max_size=10)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([HASH, "1s", "1e9h", "TLS12", "NoClientCert", "deny", "nosniff", "a\r\nb", "\x1b[2J"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["X-Frame-Options", "Content-Security-Policy", "a\nb"]), inner, max_size=3)
    ),
    max_leaves=5,
)
DOCUMENT = st.fixed_dictionaries(
    {}, optional={name: VALUE | st.dictionaries(st.sampled_from(keys), VALUE) for name, keys in KEYS.items()}
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web") / "web.yaml"


@given(content=st.binary(max_size=100))
def test_any_bytes(file: Path, content: bytes) -> None:
    holds.web_configuration(content, file)


@given(document=DOCUMENT | VALUE)
def test_any_document(file: Path, document: Any) -> None:
    holds.web_configuration(json.dumps(document).encode(), file)
