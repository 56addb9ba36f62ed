"""What YAML scalars of a web configuration mean: the same as to go-yaml v2, by which Prometheus reads them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from genvd.config import go_yaml
from genvd.config.web import read_web_config
from genvd.config.yaml_reader import compose

HASH = "$2y$10$mGB1V7qWZmU5fS6rJX1fZeHq2E1yv1S3Rk3h2yY8o9VQmHf6n0o1S"


def binary(text: str) -> str:
    return f"!!binary {base64.b64encode(text.encode()).decode()}"


def value_of(text: str, path: Path, convert: Callable[[yaml.Node], object]) -> object:
    """Return the value, None if it is refused."""
    path.write_text(f"key: {text}\n")
    root = compose(path)
    assert isinstance(root, yaml.MappingNode)
    try:
        return convert(root.value[0][1])
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", 10),
        ("010", 8),
        ("+010", 8),
        ("0o10", 8),
        ("08", 8),
        ("0x10", 16),
        ("0b10", 2),
        ("1_000", 1000),
        ("1e1", 10),
        ("10.9", 10),
        ("-1", -1),
        ("!!int '10'", 10),
        ("!!float 10", 10),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("99999999999999999999", None),
        ("'10'", None),
        ("!!str 10", None),
        ("! 10", None),
        ("!foo 10", None),
        ("!!int 08", None),
        ("!!int 1:30", None),
        (".inf", None),
        ("true", None),
        ("ten", None),
        ("~", None),
        ("[10]", None),
    ],
)
def test_a_number(tmp_path: Path, text: str, expected: int | None) -> None:
    assert value_of(text, tmp_path / "web.yml", go_yaml.integer) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", True),
        ("TRUE", True),
        ("off", False),
        ("n", False),
        ("!!bool 'true'", True),
        ("tRUE", None),
        ("'true'", None),
        ("!!str true", None),
        ("!foo true", None),
        ("1", None),
    ],
)
def test_a_boolean(tmp_path: Path, text: str, expected: bool | None) -> None:
    assert value_of(text, tmp_path / "web.yml", go_yaml.boolean) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "a"),
        ("010", "010"),
        ("~", ""),
        ("!!null ''", ""),
        ("'~'", "~"),
        ("!!str ~", "~"),
        (binary("a"), "a"),
        ("!!binary '@'", None),
        ("!!binary /w==", None),
        ("!foo a", "a"),
        ("!!int 0x10", "0x10"),
        ("!!timestamp 2001-1-31", "2001-1-31"),
        ("!!int a", None),
        ("!!null a", None),
        ("!!bool a", None),
        ("!!timestamp 2001-13-01", None),
        ("[a]", None),
        ("{a: b}", None),
    ],
)
def test_text(tmp_path: Path, text: str, expected: str | None) -> None:
    assert value_of(text, tmp_path / "web.yml", go_yaml.text) == expected


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (f"{{~: {HASH}}}", {"": HASH}),
        (f"{{'~': {HASH}}}", {"~": HASH}),
        (f"{{1: {binary(HASH)}}}", {"1": HASH}),
        (f"{{? {binary('a')} : {HASH}}}", {"a": HASH}),
        (f"!!null {{a: {HASH}}}", {"a": HASH}),
        (f"{{~: {HASH}, '': {HASH}}}", None),
        (f"{{? [a] : {HASH}}}", None),
        (f"{{? !!int a : {HASH}}}", None),
        (f"{{<<: {HASH}}}", None),
        (f"{{a: !!null {HASH}}}", None),
        ("!!null a", None),
    ],
)
def test_users(tmp_path: Path, users: str, expected: dict[str, str] | None) -> None:
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {users}\n")
    found = read_web_config(web)
    assert found.config.users == (expected or {}) if not found.problems else expected is None


def test_an_allowed_name_that_is_null_is_empty(tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text(
        "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c,"
        " client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [~, a]}"
    )
    tls = read_web_config(web).config.tls
    assert tls
    assert tls.allowed_sans == frozenset({"", "a"})
