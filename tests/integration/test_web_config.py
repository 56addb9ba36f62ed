"""The web configuration: what is accepted, judged by promtool, and what then holds on the wire."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from genvd.config.web import read_web_config
from genvd.config.web_tls import CIPHERS, CIPHERS_OF_TLS13, CURVES
from genvd.config.yaml_reader import ConfigError
from genvd.web.connections import MAX_TLS_CONNECTIONS
from genvd.web.security import Security, load_web_config
from tests.integration.test_service import LAST_RELOAD, PASS_SOCKET, scraped
from tests.support import debian
from tests.support.certificates import Certificate, issue, trusting
from tests.support.manager import Manager
from tests.support.monitor import PROGRAM, Monitor
from tests.support.needs import need, need_localhost
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus, each_second
from tests.support.scarcity import many_descriptors
from tests.support.tls_client import tls_client
from tests.support.waiting import wait_for

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"
YOUNGER = {"cert", "key", "client_ca", "client_allowed_sans", "rate_limit"}
"""Keys that promtool 2.42 does not know yet."""


def hashed(password: str, rounds: int = 4) -> str:
    """Return the hash of a password, always the same one: it is part of the names of tests."""
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$abcdefghijklmnopqrstuu" % rounds).decode()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    """A CA and what it signed, and others that it did not."""
    directory = tmp_path_factory.mktemp("certificates")
    ca = issue(directory, "ca", sans="DNS:ca")
    return {
        "ca": ca,
        "server": issue(directory, "server"),
        "rotated": issue(directory, "rotated"),
        "client": issue(directory, "client", sans="DNS:prometheus.example.org,IP:fd00::1,URI:spiffe://a/b", ca=ca),
        "stranger": issue(directory, "stranger"),
    }


@pytest.fixture
def web(tmp_path: Path, made: dict[str, Certificate]) -> Path:
    """Path of a web configuration, beside which the certificates are."""
    install(made["server"], tmp_path)
    (tmp_path / "ca.pem").write_text(made["ca"].pem)
    (tmp_path / "commented.pem").write_text(f"# Főtanúsítvány \x85\n{made['ca'].pem}", encoding="utf-8")
    return tmp_path / "web.yml"


def install(certificate: Certificate, directory: Path) -> None:
    """Put it where the web configuration says it is."""
    for source, name in ((certificate.key, "server.key"), (certificate.certificate, "server.pem")):
        (directory / f"{name}.new").write_bytes(source.read_bytes())
        (directory / f"{name}.new").rename(directory / name)


def service(web: Path, interval: str = "200ms", **settings: Any) -> Monitor:
    file = web.parent / "monitor.yaml"
    file.write_text(f"listen: {{web_config_file: {web}}}\ncollect: {{interval: {interval}}}\n")
    return Monitor(["-c", file, "--config-dir", web.parent / "published", "--demo"], **settings)


def check(web: Path) -> tuple[bool, str]:
    """Tell whether ``genv-monitor check`` accepts a web configuration, and what it says about it before the verdict."""
    file = web.parent / "monitor.yaml"
    file.write_text(f"listen: {{web_config_file: {web}}}\n")
    done = subprocess.run([PROGRAM, "check", file], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    told, verdict, rest = done.stderr.partition("configuration invalid: ")
    assert bool(verdict) == (done.returncode != 0) and rest.count("\n") == bool(verdict)
    return done.returncode == 0, told


def judge(web: Path) -> tuple[bool, str]:
    """Tell whether promtool accepts it."""
    promtool = debian.promtool()
    done = subprocess.run([promtool, "check", "web-config", web], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


# --- What is accepted ----------------------------------------------------------------------------------------


def inline(web: Path) -> str:
    directory = web.parent
    certificate, key = ((directory / name).read_text() for name in ("server.pem", "server.key"))
    return yaml.safe_dump({"tls_server_config": {"cert": certificate, "key": key}})


ACCEPTED: list[str | Callable[[Path], str]] = [
    "",
    "{}",
    "tls_server_config:\n",
    f"{TLS}}}",
    f"{TLS}, min_version: TLS13}}",
    f"{TLS}, min_version: TLS10, max_version: TLS12}}",
    f"{TLS}, cipher_suites: [{', '.join(CIPHERS)}]}}",
    f"{TLS}, cipher_suites: [{', '.join(sorted(CIPHERS_OF_TLS13))}], prefer_server_cipher_suites: false}}",
    *(f"{TLS}, curve_preferences: [{curve}]}}" for curve in CURVES),
    f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}}",
    f"{TLS}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem}}",
    f"{TLS}, client_auth_type: RequestClientCert, client_ca_file: ca.pem}}",
    f"{TLS}, client_auth_type: NoClientCert}}",
    f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: [a, b]}}",
    inline,
    "http_server_config: {http2: false, headers: {X-Frame-Options: deny, X-XSS-Protection: '1; mode=block'}}",
    "http_server_config: {headers: {Strict-Transport-Security: a=1, Content-Security-Policy: default-src 'self'}}",
    f"basic_auth_users: {{a: '{hashed('x')}', 'b c': '{hashed('y').replace('$2b$', '$2y$')}'}}",
    "rate_limit: {interval: 1s, burst: 20}",
    "rate_limit: {interval: 0}",
    "rate_limit: {interval: +1.5h.5s300µs, burst: 1_000}",
    "tls_server_config: {}",
    f"{TLS}, client_ca_file: ''}}",
    f"{TLS}, client_ca: '', client_auth_type: ''}}",
    f"{TLS}, cert: '', key: '', client_ca_file: ca.pem, client_ca: '', client_auth_type: RequestClientCert}}",
    f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: commented.pem}}",
    f"{TLS}, cipher_suites: [], curve_preferences: []}}",
    f"basic_auth_users: {{~: '{hashed('x')}', 1: !!str '{hashed('y')}'}}",
    f"basic_auth_users: !!null {{a: !!binary {base64.b64encode(hashed('x').encode()).decode()}}}",
    "tls_server_config: {cert_file: !!binary c2VydmVyLnBlbQ==, key_file: !name server.key, min_version: !!str TLS12}",
    f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: [~]}}",
    "rate_limit: {interval: !!str 1s, burst: 010}",
]

REFUSED_BY_BOTH = [
    ("- a", ":1: the file is not a mapping"),
    ("tls_config: {}", ":1: tls_config: unknown key; did you mean tls_server_config?"),
    (f"{TLS}, min_versio: TLS12}}", ":1: tls_server_config.min_versio: unknown key; did you mean min_version?"),
    (f"{TLS}, min_version: TLS99}}", ":1: tls_server_config.min_version: 'TLS99' is wrong; expected one of TLS10"),
    (f"{TLS}, min_version: '1.2'}}", ":1: tls_server_config.min_version: '1.2' is wrong"),
    (f"{TLS}, cipher_suites: [TLS_NO]}}", ":1: tls_server_config.cipher_suites: 'TLS_NO' is wrong; expected one of"),
    (f"{TLS}, cipher_suites: TLS_NO}}", ":1: tls_server_config.cipher_suites: 'TLS_NO' is wrong; expected a list"),
    (f"{TLS}, curve_preferences: [P256]}}", ":1: tls_server_config.curve_preferences: 'P256' is wrong"),
    (f"{TLS}, client_auth_type: Maybe}}", ":1: tls_server_config.client_auth_type: 'Maybe' is wrong"),
    (f"{TLS}, client_ca_file: ca.pem}}", ":1: tls_server_config: has client CAs but no client_auth_type"),
    (f"{TLS}, prefer_server_cipher_suites: 7}}", ":1: tls_server_config.prefer_server_cipher_suites: '7' is wrong"),
    ("tls_server_config: {cert_file: server.pem}", ":1: tls_server_config: has no key_file"),
    ("tls_server_config: {key_file: server.key}", ":1: tls_server_config: has no cert_file"),
    ("tls_server_config: {cert_file: no.pem, key_file: server.key}", ":1: tls_server_config.cert_file: "),
    ("tls_server_config: {cert_file: ca.pem, key_file: server.key}", "does not belong to the certificate"),
    ("tls_server_config: {cert_file: server.key, key_file: server.key}", "no certificate in PEM form"),
    ("tls_server_config: {cert_file: server.pem, key_file: server.pem}", "no private key in PEM form"),
    ("http_server_config: {headers: {X-Frame-Options: maybe}}", "'maybe' is wrong; expected deny or sameorigin"),
    ("http_server_config: {headers: {Server: x}}", ":1: http_server_config.headers.Server: unknown key"),
    ("http_server_config: {http2: 7}", ":1: http_server_config.http2: '7' is wrong; expected true or false"),
    ("basic_auth_users: {a: secret}", ":1: basic_auth_users.a: is not a bcrypt hash; create one with htpasswd"),
    ("basic_auth_users: {a: }", ":1: basic_auth_users.a: is not a bcrypt hash"),
    ("basic_auth_users: [a]", ":1: basic_auth_users: is not a mapping"),
    (f"basic_auth_users: {{a: '{hashed('x')}', a: '{hashed('x')}'}}", "basic_auth_users.a: duplicate key"),
    ("rate_limit: {interval: soon, burst: 1}", "'soon' is wrong; expected a duration"),
    ("rate_limit: {interval: 1d, burst: 1}", "'1d' is wrong; expected a duration"),
    ("rate_limit: {interval: 300000h1e9h, burst: 1}", "is wrong; expected a duration"),
    ("a: *b", "is not valid YAML"),
    (f"basic_auth_users: {{? [a] : '{hashed('x')}'}}", ":1: basic_auth_users: has a key that is not text"),
    (f"basic_auth_users: {{? !!int a : '{hashed('x')}'}}", ":1: basic_auth_users: has a key that is not text"),
    (f"basic_auth_users: {{~: '{hashed('x')}', '': '{hashed('x')}'}}", "duplicate key; expected only one"),
    (f"basic_auth_users: {{<<: '{hashed('x')}'}}", ":1: basic_auth_users: has a merge key (<<)"),
    (f"basic_auth_users: {{a: !!null '{hashed('x')}'}}", ":1: basic_auth_users.a: is not a bcrypt hash"),
    ("basic_auth_users: !!null a", ":1: basic_auth_users: is not a mapping"),
    (f"{TLS}, client_auth_type: !!binary '@'}}", ":1: tls_server_config.client_auth_type: a value with a tag is wrong"),
    (f"{TLS}, prefer_server_cipher_suites: !!str true}}", "'true' is wrong; expected true or false"),
    (f"{TLS}, prefer_server_cipher_suites: tRUE}}", "'tRUE' is wrong; expected true or false"),
]

REFUSED_HERE = [
    ("tls_server_config: {min_version: TLS12}", "has no cert_file"),
    ("tls_server_config: {cert_file: '', key_file: ''}", "has no cert_file"),
    (f"{TLS}, curve_preferences: [CurveP384, CurveP521]}}", "this version of Python supports only one curve"),
    (f"{TLS}, client_auth_type: RequireAnyClientCert}}", "accepts any certificate, even a self-signed one"),
    (f"{TLS}, client_auth_type: RequireAndVerifyClientCert}}", "needs client_ca_file"),
    (f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: server.key}}", "client_ca_file: "),
    (f"{TLS}, max_version: TLS11, min_version: TLS10}}", "TLS11 is not supported"),
    (f"{TLS}, min_version: TLS13, max_version: TLS12}}", "nobody could connect"),
    (f"{TLS}, cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}}", "'TLS_RSA_WITH_AES_128_CBC_SHA' is wrong"),
    ("basic_auth_users: {a: '$2y$31$" + "." * 53 + "'}", "of cost 31; expected 4 to 16"),
    ("rate_limit: {interval: 1s}", "is missing or 0, so every request would be refused"),
    (f"{TLS}, <<: {{min_version: TLS12}}}}", ":1: tls_server_config: has a merge key (<<)"),
    (f"{TLS}, cipher_suites: [~]}}", "tls_server_config.cipher_suites: '~' is wrong"),
]


@pytest.mark.parametrize("content", ACCEPTED)
def test_what_is_accepted_promtool_accepts(web: Path, content: str | Callable[[Path], str]) -> None:
    text = content if isinstance(content, str) else content(web)
    web.write_text(text)
    accepted, warning = check(web)
    assert accepted
    assert not warning or "curve_preferences: this Python cannot limit TLS to X25519" in warning  # as Debian 12's
    accepted, told = judge(web)
    unknown = set(re.findall(r"field (\S+) not found", told))
    assert accepted or (unknown and unknown <= YOUNGER), told


@pytest.mark.parametrize(("content", "expected"), REFUSED_BY_BOTH)
def test_what_promtool_refuses_is_refused_in_a_line(web: Path, content: str, expected: str) -> None:
    web.write_text(content)
    assert not judge(web)[0]
    accepted, told = check(web)
    assert not accepted
    assert told.startswith(f"{web}:1: ")
    assert expected in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(("content", "expected"), REFUSED_HERE)
def test_what_could_not_be_kept_is_refused_too(web: Path, content: str, expected: str) -> None:
    web.write_text(content)
    accepted, told = check(web)
    assert not accepted
    assert expected in told


@pytest.mark.parametrize(
    "content",
    [
        "basic_auth_users: {good: *Secret1}",
        "basic_auth_users: {good: &Secret1 a, other: &Secret1 b}",
        "basic_auth_users: {good: !Secret1!x y}",
        "basic_auth_users: {good: Secret1}",
        'basic_auth_users: {good: "\xffSecret1"}',
        "basic_auth_users: [Secret1]",
        "tls_server_config: {cert_file: a, key_file: '-----BEGIN EC PRIVATE KEY-----\n\nSecret1'}",
        "tls_server_config: {cert_file: a, key_file: b, client_auth_type: '-----BEGIN EC PRIVATE KEY-----Secret1'}",
    ],
)
def test_no_problem_shows_what_may_be_secret(web: Path, content: str) -> None:
    web.write_bytes(content.encode("latin-1"))
    accepted, told = check(web)
    assert not accepted
    assert "Secret1" not in told
    assert "0xff" not in told


def test_all_problems_are_told_at_once_in_their_order(web: Path) -> None:
    web.write_text("tls_server_config:\n  min_version: x\nbasic_auth_users:\n  a: b\n  c: d\nx: y\n")
    places = [line.split(": ")[0].rpartition(":")[2] for line in check(web)[1].splitlines()]
    assert places == ["2", "2", "2", "4", "5", "6"]
    assert "'b'" not in check(web)[1]  # it may be the password itself


@pytest.mark.parametrize("curves", ["[X25519, CurveP256]", "[CurveP521, X25519]"])
def test_curves_that_this_python_cannot_be_limited_to_are_a_remark(web: Path, made: Any, curves: str) -> None:
    need(not hasattr(ssl.SSLContext, "set_groups"), "needs a Python before 3.15")
    web.write_text(f"{TLS}, curve_preferences: {curves}}}")
    accepted, told = check(web)
    assert accepted
    assert told.startswith(f"{web}: curve_preferences: this Python cannot limit TLS to ")
    assert told.count("\n") == 1
    client = trusting(made["server"])
    with suppress(ssl.SSLError):  # Python 3.11.2 of Debian 12, which offers it anyway
        client.set_ecdh_curve("X25519")
    with service(web, tls=client) as monitor:
        assert monitor.get("/metrics").status == 200
        assert monitor.log.count("cannot limit TLS to") == 1


def refused_by_an_old_python(*_: object) -> None:
    raise ssl.SSLError


def test_x25519_is_offered_where_python_refuses_to_set_it(
    web: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.write_text(f"{TLS}, curve_preferences: [X25519]}}")
    monkeypatch.setattr(ssl.SSLContext, "set_ecdh_curve", refused_by_an_old_python)
    monkeypatch.delattr(ssl.SSLContext, "set_groups", raising=False)
    assert "OpenSSL's list is used, with X25519" in load_web_config(web).warning
    web.write_text(f"{TLS}, curve_preferences: [CurveP384]}}")
    with pytest.raises(ConfigError, match=r"web\.yml:1: curve_preferences: this OpenSSL does not have CurveP384"):
        load_web_config(web)


def not_to_be_read(web: Path) -> list[Path]:
    """What may be where a file should be."""
    directory, fifo, large, link = (web.parent / name for name in ("directory", "fifo", "large", "link"))
    directory.mkdir()
    os.mkfifo(fifo)
    large.touch()
    os.truncate(large, 2**40)
    link.symlink_to(link)
    return [directory, fifo, large, link, web / "below a file", web.parent / ("x" * 300), Path("/dev/zero")]


def test_what_is_no_file_is_refused_in_a_line(web: Path) -> None:
    for path in not_to_be_read(web):
        for key in ("cert_file", "key_file", "client_ca_file"):
            files = {"cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem", key: str(path)}
            files["client_auth_type"] = "RequireAndVerifyClientCert"
            web.write_text(yaml.safe_dump({"tls_server_config": files}))
            accepted, told = check(web)
            assert not accepted
            assert told.startswith(f"{web}:")
            assert told.count("\n") == 1, told
        done = subprocess.run([PROGRAM, "check", path], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(f"{path}: ")
        assert done.stderr.endswith("\nconfiguration invalid: 1 problem\n") and done.stderr.count("\n") == 2, (
            done.stderr
        )


@pytest.mark.parametrize("error", [RecursionError, MemoryError, ValueError("\nb"), ssl.SSLError, OSError(5)])
def test_whatever_reading_raises_the_service_goes_on(
    web: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Any
) -> None:
    """No file is known that does this, so it is done by hand: in the reader, and in Python's ssl."""
    with_users = f"basic_auth_users: {{a: '{hashed('x')}'}}"
    web.write_text(with_users)

    def fail(*_: object) -> None:
        raise error

    for target in (("genvd.config.web._Reader.config", fail), ("genvd.web.security._signature", fail)):
        security = Security(load_web_config(web))
        users = dict(security.policy.users)
        with monkeypatch.context() as patched:
            patched.setattr(*target)
            for _ in range(3):
                web.write_text(f"{TLS}}}\n{with_users}")
                security._next_check = 0.0
                security.reload_if_changed()
        successful = [security.successful]
        assert security.policy.users == users
        web.write_text(f"{TLS}}}\n{with_users} ")
        security._next_check = 0.0
        security.reload_if_changed()
        assert [*successful, security.successful] == [False, True]
        assert security.policy.tls
        web.write_text(with_users)
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLContext, "load_cert_chain", fail)
        web.write_text(f"{TLS}}}")
        with pytest.raises(ConfigError) as raised:
            load_web_config(web)
        assert len(str(raised.value).splitlines()) == 1
    assert caplog.text.count("still using the previous one") == 2
    assert "Traceback" not in caplog.text


JUNK = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("server.pem", JUNK, "cert_file: {}: a certificate in it is damaged, incomplete"),
        ("server.pem", "-----BEGIN CERTIFICATE-----\nMII", "cert_file: {}: a certificate in it is damaged, incomplete"),
        ("server.key", "-----BEGIN PRIVATE KEY-----\nMII", "key_file: {}: a private key in it is damaged, incomplete"),
        ("ca.pem", JUNK, "client_ca_file: {}: a certificate in it is damaged, incomplete"),
        ("ca.pem", "x", "client_ca_file: {}: no certificate in PEM form; expected certificates of CAs"),
    ],
)
def test_a_damaged_file_is_named_with_the_reason_and_a_way_out(
    web: Path, file: str, content: str, expected: str
) -> None:
    web.write_text(f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}}")
    (web.parent / file).write_text(content)
    with pytest.raises(ConfigError) as raised:
        load_web_config(web)
    assert raised.value.problems == [one for one in raised.value.problems if expected.format(web.parent / file) in one]
    assert len(raised.value.problems) == 1
    assert "; " in raised.value.problems[0]


@pytest.mark.parametrize(
    "content",
    [
        'tls_server_config: {cert: "\\ud800", key: "\\ud800"}',
        "rate_limit: {interval: 1s, burst: -1}",
        f"{TLS}, client_ca_file: [a]}}",
    ],
)
def test_one_mistake_is_one_line_without_names_of_exceptions(web: Path, content: str) -> None:
    web.write_text(content)
    with pytest.raises(ConfigError) as raised:
        load_web_config(web)
    assert len(raised.value.problems) == 1
    assert "Error" not in str(raised.value)


def test_a_certificate_that_is_not_valid_now_is_served_and_said(web: Path, made: dict[str, Certificate]) -> None:
    for days, wrong in ((-1, "expired on"), (1, "is not valid before")):
        web.write_text(f"{TLS}}}")
        with pytest.MonkeyPatch.context() as clock:
            ends = load_web_config(web).policy.certificate_ends[0]
            now = ends.not_after + 1 if days < 0 else (ends.not_before or 0) - 1
            clock.setattr(time, "time", lambda now=now: now)
            (line,) = load_web_config(web).invalid_certificates().values()
            assert f"{web}: tls_server_config.cert_file: {web.parent / 'server.pem'}: {wrong} 20" in line


def test_a_passphrase_is_not_asked_for(web: Path) -> None:
    key = web.parent / "server.key"
    locked = ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", str(key), "-out", str(key) + ".locked"]
    subprocess.run(locked, check=True)
    web.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key.locked}")
    assert "is encrypted with a passphrase" in check(web)[1]


@pytest.mark.parametrize(
    ("prefix", "way_out"),
    [
        pytest.param(sys.base_prefix, "apt install python3-bcrypt", id="Python of the system"),
        pytest.param("/opt/own", "/opt/own/bin/pip install bcrypt", id="virtual environment"),
    ],
)
def test_users_without_bcrypt_are_an_error_with_a_way_out(
    web: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, way_out: str
) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    web.write_text(f"basic_auth_users: {{a: '{hashed('x')}'}}")
    (problem,) = read_web_config(web).problems
    assert problem.endswith(f"needs the Python module bcrypt; {way_out}")


def test_it_does_not_start_with_a_broken_one(web: Path) -> None:
    web.write_text("basic_auth_users: {a: b}")
    file = web.parent / "monitor.yaml"
    file.write_text(f"listen: {{web_config_file: {web}}}\n")
    done = subprocess.run([PROGRAM, "-c", file, "--demo"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert f"{web}:1: basic_auth_users.a: is not a bcrypt hash" in done.stderr


# --- TLS -----------------------------------------------------------------------------------------------------


def secured(monitor: Monitor, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection((monitor.host, monitor.port), timeout=10))


def served_certificate(monitor: Monitor, context: ssl.SSLContext) -> str:
    with secured(monitor, context) as connection:
        der = connection.getpeercert(binary_form=True)
        assert der
        return ssl.DER_cert_to_PEM_cert(der)


def test_it_serves_through_tls_and_nothing_without(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text(f"{TLS}}}")
    with service(web, tls=trusting(made["server"])) as monitor:
        assert "serving metrics at https://" in monitor.log
        assert monitor.metrics()[LAST_RELOAD] == 1
        with closing(socket.create_connection((monitor.host, monitor.port), timeout=10)) as plain:
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = b"".join(iter(lambda: plain.recv(65536), b""))
        assert b"400 Bad Request" in answer
        assert b"# HELP" not in answer
        assert "Traceback" not in monitor.log


def test_a_large_body_goes_through_tls_whole(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text(f"{TLS}}}")
    monitor = service(web, interval="1h", tls=trusting(made["server"]))
    monitor.arguments = [*monitor.arguments, "1024"]
    with monitor:
        body = monitor.get("/metrics").body
        assert len(body) > 200_000
        assert body == monitor.get("/metrics").body
        assert len(monitor.snapshot()["devices"]) == 1024


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_versions_are_kept_to(web: Path, made: dict[str, Certificate], version: str) -> None:
    web.write_text(f"{TLS}, min_version: {version}, max_version: {version}}}")
    numbers = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
    context = trusting(made["server"])
    context.minimum_version = context.maximum_version = numbers.pop(version)
    with service(web, tls=context) as monitor:
        other = trusting(made["server"])
        other.minimum_version = other.maximum_version = numbers.popitem()[1]
        with pytest.raises(ssl.SSLError):
            served_certificate(monitor, other)


@pytest.mark.parametrize("name", ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"])
def test_ciphers_are_kept_to(web: Path, made: dict[str, Certificate], name: str) -> None:
    web.write_text(f"{TLS}, max_version: TLS12, cipher_suites: [{name}]}}")
    context = trusting(made["server"])
    context.set_ciphers("ECDHE+AES")
    with service(web, tls=context) as monitor, secured(monitor, context) as connection:
        used = connection.cipher()
        assert used
        assert used[0] == CIPHERS[name]


SANS = "client_allowed_sans: [{}]"


@pytest.mark.parametrize(
    ("more", "client", "lets_in"),
    [
        ("", None, False),
        ("", "client", True),
        ("", "stranger", False),
        (SANS.format("prometheus.example.org"), "client", True),
        (SANS.format("'fd00::1'"), "client", True),
        (SANS.format("'spiffe://a/b'"), "client", True),
        (SANS.format("example.org, client"), "client", False),
        ("client_allowed_sans: []", "client", False),
    ],
)
def test_client_certificates(
    web: Path, made: dict[str, Certificate], more: str, client: str | None, lets_in: bool
) -> None:
    kind = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"
    web.write_text(f"{TLS}, {kind}}}")
    with service(web, tls=trusting(made["server"], made["client"])) as monitor:
        if more:
            web.write_text(f"{TLS}, {kind}, {more}}}")
            wait_for(lambda: "web configuration has changed and was reloaded" in monitor.log, "the names")
        monitor.tls = trusting(made["server"], made[client] if client else None)
        if lets_in:
            assert monitor.get("/-/healthy").status == 200
        else:
            with pytest.raises(OSError):
                monitor.get("/-/healthy")


def test_a_certificate_rotates_without_losing_a_scrape(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text(f"{TLS}}}")
    both = trusting(made["server"])
    both.load_verify_locations(made["rotated"].certificate)
    with service(web, tls=both) as monitor, scraped(monitor) as failures:
        assert served_certificate(monitor, both) == made["server"].pem
        for name in ("rotated", "server"):
            install(made[name], web.parent)
            wait_for(lambda name=name: served_certificate(monitor, both) == made[name].pem, "the new one")  # type: ignore[misc]
        monitor.next_metrics()
    assert failures == []


def test_nobody_is_kept_waiting_by_messages_of_tls(web: Path, made: dict[str, Certificate]) -> None:
    """Each KeyUpdate costs the server the derivation of a key, and a client nothing."""
    web.write_text(f"{TLS}}}")
    with service(web, tls=trusting(made["server"])) as monitor, ExitStack() as stack:
        done = threading.Event()
        let_go: list[int] = []

        def flood() -> None:
            while not done.is_set():
                with tls_client((monitor.host, monitor.port)) as client:
                    sent = 0
                    while not done.is_set() and client.update_keys():
                        sent += 1
                let_go.append(sent)

        for _ in range(2):
            thread = threading.Thread(target=flood)
            thread.start()
            stack.callback(thread.join)
        stack.callback(done.set)
        for _ in range(16):
            assert monitor.get("/metrics").status == 200
        wait_for(lambda: let_go, "who sends nothing else is let go")


def test_nobody_negotiates_again(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text(f"{TLS}}}")
    with service(web, tls=trusting(made["server"])) as monitor:
        with tls_client((monitor.host, monitor.port), tls12=True) as client:
            assert not client.renegotiate()
        assert monitor.get("/metrics").status == 200


def resident_mib(monitor: Monitor) -> float:
    status = Path(f"/proc/{monitor.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_many_connections_with_tls_take_bounded_memory(web: Path, made: dict[str, Certificate]) -> None:
    """They have done the handshake, and begun the largest request there is; some scraped before, and go on."""
    web.write_text(f"{TLS}}}")
    context = trusting(made["server"])
    with service(web, tls=context) as monitor, many_descriptors(MAX_TLS_CONNECTIONS + 200), ExitStack() as stack:
        kept = stack.enter_context(secured(monitor, context))
        for number in range(MAX_TLS_CONNECTIONS + 100):
            if number % 100 == 0:
                kept.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
                assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")
            client = stack.enter_context(secured(monitor, context))
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 15_000)
        assert monitor.get("/metrics").status == 200
        assert resident_mib(monitor) < 150


def test_a_kept_connection_has_its_answer_and_then_comes_anew(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text(f"{TLS}}}")
    both = trusting(made["server"])
    both.load_verify_locations(made["rotated"].certificate)
    request = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n"
    with service(web, tls=both) as monitor, secured(monitor, both) as kept:
        kept.sendall(request)
        assert b"Connection: close" not in kept.recv(65536)
        install(made["rotated"], web.parent)
        wait_for(lambda: served_certificate(monitor, both) == made["rotated"].pem, "the new one")
        kept.sendall(request)
        answer = kept.recv(65536)
        assert b" 200 OK" in answer
        assert b"Connection: close" in answer


def test_switching_tls_on_ends_what_was_plain(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text("")
    request = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n"
    with service(web) as monitor:
        with closing(socket.create_connection((monitor.host, monitor.port), timeout=10)) as kept:
            kept.sendall(request)
            assert kept.recv(65536)
            web.write_text(f"{TLS}}}")
            wait_for(lambda: "web configuration has changed and was reloaded" in monitor.log, "the new configuration")
            kept.sendall(request)
            assert kept.recv(65536) == b""
        monitor.tls = trusting(made["server"])
        assert monitor.get("/-/healthy").status == 200


def test_a_broken_new_version_is_told_once_and_changes_nothing(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text(f"{TLS}}}")
    with service(web, tls=trusting(made["server"])) as monitor:
        for name, broken in (("server.key", made["rotated"].key.read_text()), ("web.yml", "x: y")):
            good = (web.parent / name).read_text()
            (web.parent / name).write_text(broken)
            wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 0, "the metric tells")
            monitor.next_metrics(8)
            assert monitor.log.count("still using the previous one") == 1
            (web.parent / name).write_text(good)
            wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 1, "mended")
            monitor.output.clear()
        (web.parent / "web.yml").write_text("x: y")
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "still using the previous configuration" in monitor.log, "SIGHUP tells as well")


def test_a_version_that_lets_everybody_in_waits_for_a_reload(web: Path, made: dict[str, Certificate]) -> None:
    users = f"basic_auth_users: {{a: '{hashed('x')}'}}\n"
    ca = "client_ca_file: ca.pem, client_auth_type"
    verified = f"{TLS}, {ca}: RequireAndVerifyClientCert, client_allowed_sans: [prometheus.example.org]}}\n"
    web.write_text(verified + users)
    with service(web, tls=trusting(made["server"], made["client"]), headers=basic("a", "x")) as monitor:
        for weaker, lost in (
            ("", "TLS and users"),
            (users, "TLS"),
            (verified, "users"),
            (f"{TLS}}}\n{users}", "client_auth_type"),
            (f"{TLS}, {ca}: VerifyClientCertIfGiven}}\n{users}", "client_auth_type RequireAndVerifyClientCert"),
            (f"{TLS}, {ca}: RequireAndVerifyClientCert}}\n{users}", "client_allowed_sans"),
        ):
            web.write_text(weaker)
            wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 0, "the metric tells")
            monitor.next_metrics(6)
            (said,) = [line for line in monitor.complaints if str(web) in line]
            assert "WARNING" in said
            assert f"{web}: no longer has {lost};" in said
            assert "systemctl reload" in said
            web.write_text(verified + users)
            wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 1, "it is put right")
            monitor.output.clear()
        web.write_text("")
        wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 0, "the metric tells")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.tls, monitor.headers = None, {}
        wait_for(lambda: "configuration reloaded" in monitor.log, "it is taken on purpose")
        assert monitor.get("/-/healthy").status == 200


def test_a_passed_socket_speaks_tls_as_well(web: Path, made: dict[str, Certificate]) -> None:
    web.write_text(f"{TLS}}}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        monitor = service(web, tls=trusting(made["server"]), any_port=False)
        monitor.command = [sys.executable, "-c", PASS_SOCKET, str(listener.fileno()), PROGRAM]
        monitor.pass_descriptors = (listener.fileno(),)
        with monitor:
            assert monitor.get("/metrics").status == 200


def test_prometheus_scrapes_it_by_the_published_configuration(web: Path, made: dict[str, Certificate]) -> None:
    need_localhost()  # which is the name in the certificate
    web.write_text(f"{TLS}}}\nbasic_auth_users: {{prometheus: '{hashed('x y', 10)}'}}\n")
    with service(web, tls=trusting(made["server"]), headers=basic("prometheus", "x y")):
        published = web.parent / "published/prometheus/prometheus.yml"
        promtool = debian.promtool()
        subprocess.run([promtool, "check", "config", published], check=True, capture_output=True)
        text = published.read_text()
        assert "$2" not in text
        for hint, value in (
            ("# tls_config:", "tls_config:"),
            ("#   ca_file: the CA of the monitor's certificate", f"  ca_file: {made['server'].certificate}"),
            ("# basic_auth:", "basic_auth:"),
            ("#   username: one of the monitor's users", "  username: prometheus"),
            ("#   password_file: its password", "  password: x y"),
        ):
            assert hint in text
            text = text.replace(hint, value)
        published.write_text(text)
        with Prometheus(each_second(published), web.parent / "data") as prometheus:
            wait_for(lambda: prometheus.query("up") and set(prometheus.query("up").values()) == {1.0}, "it is up")


# --- Passwords -----------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(web: Path) -> Iterator[Monitor]:
    """One that a user called good, with the password right, may ask."""
    web.write_text(f"basic_auth_users: {{good: '{hashed('right', 8)}', other: '{hashed('x', 4)}'}}")
    with service(web, headers=basic("good", "right")) as running:
        yield running
        assert "Traceback" not in running.log


WRONG: list[dict[str, str]] = [
    {},
    basic("good", "wrong"),
    basic("good", ""),
    basic("good", "right\0"),
    basic("good", "righ"),
    basic("Good", "right"),
    basic("", "right"),
    basic("nobody", "." * 53),
    basic("other", "right"),
    basic("good", "x" * 5000),
    {"Authorization": "Basic"},
    {"Authorization": "Basic !"},
    {"Authorization": "Bearer Z29vZDpyaWdodA=="},
    {"Authorization": "Basic " + base64.b64encode(b"good").decode()},
]


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/snapshot", "/nothing"])
def test_everything_wants_a_password(guarded: Monitor, path: str) -> None:
    assert guarded.get(path).status == (404 if path == "/nothing" else 200)
    guarded.headers = {}
    for headers in WRONG:
        reply = guarded.get(path, headers)
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert reply.body == b"401 Unauthorized\n"


def test_a_password_that_is_changed_holds_no_longer(guarded: Monitor, web: Path) -> None:
    web.write_text(f"basic_auth_users: {{good: '{hashed('new')}'}}")
    wait_for(lambda: guarded.get("/metrics").status == 401, "the old one is wrong")
    guarded.headers = basic("good", "new")
    assert guarded.get("/metrics").status == 200


# --- A reload that changes at once where it serves and whom -----------------------------------------------------

HALF = b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
"""Of a request without a password. The server that has it waits for the rest before it ends."""


@contextmanager
def moving(manager: Manager, web: Path, before: str, after: str) -> Iterator[tuple[int, list[socket.socket]]]:
    """Reload a monitor so that it moves from one port to another, with another web configuration.

    Yields the new port, and connections to the old one on which half a request was sent before the reload.
    """
    old, new = free_port(), free_port()
    file, directory = web.parent / "monitor.yaml", web.parent / "published"

    def configure(address: str, port: int, content: str) -> None:
        path = web.with_name(f"web-{port}.yml")
        path.write_text(content)
        file.write_text(f"listen: {{address: {address}, port: {port}, web_config_file: {path}}}\n")

    configure("127.0.0.1", old, before)
    options: list[str | Path] = ["-c", file, "--config-dir", directory, "--demo"]
    right = basic("good", "right")
    with Monitor(options, manager.environment, any_port=False, headers=right) as monitor, ExitStack() as stack:
        halves = [stack.enter_context(socket.create_connection(("127.0.0.1", old), timeout=20)) for _ in range(40)]
        for half in halves:
            half.sendall(HALF)
        assert monitor.get("/-/ready").status == 200  # so what was sent before is there as well
        configure("0.0.0.0", new, after)
        monitor.process.send_signal(signal.SIGHUP)
        yield new, halves
        assert "Traceback" not in monitor.log


def answer(client: socket.socket, rest: bytes) -> bytes:
    """Return the status line of the answer to a request; nothing where there is none."""
    try:
        client.sendall(rest)
        return client.makefile("rb").readline()
    except OSError:
        return b""


def test_a_wider_address_is_never_served_without_the_passwords_that_come_with_it(manager: Manager, web: Path) -> None:
    guarded = f"basic_auth_users: {{good: '{hashed('right')}'}}"
    with moving(manager, web, "", guarded) as (new, _):
        first = wait_for(lambda: socket.create_connection(("127.0.0.1", new), timeout=20), "it listens there")
        answers = {answer(first, HALF + b"\r\n")}
        while len(manager.said("READY=1")) < 2:
            with socket.create_connection(("127.0.0.1", new), timeout=20) as client:
                answers.add(answer(client, HALF + b"\r\n"))
        first.close()
    assert answers == {b"HTTP/1.1 401 Unauthorized\r\n"}


def test_an_address_that_is_left_keeps_its_passwords_to_the_end(manager: Manager, web: Path) -> None:
    guarded = f"basic_auth_users: {{good: '{hashed('right')}'}}"
    with moving(manager, web, guarded, "") as (new, halves):
        wait_for(lambda: socket.create_connection(("127.0.0.1", new), timeout=20), "it listens there").close()
        answers = {answer(half, b"\r\n") for half in halves}
        assert b"HTTP/1.1 401 Unauthorized\r\n" in answers
        assert not any(b" 200 " in line for line in answers)
        with socket.create_connection(("127.0.0.1", new), timeout=20) as client:
            assert answer(client, HALF + b"\r\n") == b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def flooded(web: Path) -> Iterator[Monitor]:
    """One that is asked for all the time with wrong passwords, on two hundred connections from all of 127.0.0.0/8."""
    web.write_text(f"basic_auth_users: {{good: '{hashed('right', 10)}', late: '{hashed('right', 10)}'}}")
    done = threading.Event()

    def flood(number: int) -> None:
        head = b"GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Basic %b\r\n\r\n"
        address = "127.0.0.1" if number % 2 else f"127.{number}.{number}.9"
        while not done.is_set():
            password = os.urandom(8).hex() if number % 4 < 2 else str(number)
            try:
                with closing(socket.create_connection((running.host, running.port), 10, (address, 0))) as client:
                    client.sendall(head % base64.b64encode(b"good:" + password.encode()))
                    assert b" 200 " not in client.recv(4096)
            except OSError:
                pass
            done.wait(0.5)  # who hammers pays for it; the test is to have some of the processor as well

    with service(web, interval="1s", headers=basic("good", "right")) as running, ExitStack() as stack:
        for number in range(200):
            thread = threading.Thread(target=flood, args=(number,))
            thread.start()
            stack.callback(thread.join)
        stack.callback(done.set)
        yield running


def test_a_flood_of_wrong_passwords_shuts_out_nobody(flooded: Monitor) -> None:
    """Not who is known already, and who is not yet only for a moment, though all come from one address."""
    for _ in range(50):
        assert flooded.get("/metrics").status == 200
    statuses = []
    for _ in range(4):
        statuses.append(flooded.get("/metrics", basic("late", "right")).status)
        if statuses[-1] == 200:
            break
        came = time.monotonic()
        wait_for(lambda: time.monotonic() > came + 3, "the next scrape")  # noqa: B023
    assert statuses[-1] == 200, statuses
    assert {*statuses[:-1]} <= {503}


def test_a_flood_that_is_over_leaves_nothing_to_do(web: Path) -> None:
    """Wrong passwords take their time; nobody waits for them any more."""
    web.write_text(f"basic_auth_users: {{good: '{hashed('right', 10)}', late: '{hashed('right', 10)}'}}")
    with service(web, headers=basic("good", "right")) as running:
        head = b"GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Basic %b\r\n\r\n"
        descriptors = Path(f"/proc/{running.process.pid}/fd")
        idle = len(list(descriptors.iterdir()))
        for number in range(200):
            with closing(socket.create_connection((running.host, running.port), 10)) as client:
                client.sendall(head % base64.b64encode(b"good:%d" % number))
        wait_for(lambda: len(list(descriptors.iterdir())) <= idle, "all of them are gone")
        assert running.get("/metrics", basic("late", "right")).status == 200


# --- Headers and limits --------------------------------------------------------------------------------------


def test_headers_are_added_and_weaken_nothing(web: Path) -> None:
    policy = "frame-ancestors 'self'"
    web.write_text(
        f'http_server_config: {{headers: {{Content-Security-Policy: "{policy}", X-Frame-Options: deny,'
        ' X-Content-Type-Options: nosniff, Strict-Transport-Security: ""}}'
    )
    with service(web) as monitor:
        for path in ("/", "/metrics", "/nothing"):
            headers = monitor.get(path).headers
            assert headers["X-Frame-Options"] == "deny"
            assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
            assert "Strict-Transport-Security" not in headers
            policies = headers.get_all("Content-Security-Policy") or []
            assert policies[1:] == [policy]  # browsers apply both
            assert policies[0].startswith("default-src 'none'; ")


def test_a_rate_limit_is_kept(web: Path) -> None:
    web.write_text("")
    with service(web) as monitor:
        web.write_text("rate_limit: {interval: 1h, burst: 3}")
        wait_for(lambda: "web configuration has changed and was reloaded" in monitor.log, "the limit")
        statuses = [monitor.get("/-/healthy").status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]


def test_a_rate_limit_counts_apart_who_is_not_let_in(web: Path) -> None:
    web.write_text(f"basic_auth_users: {{good: '{hashed('right')}', late: '{hashed('right')}'}}")
    with service(web, headers=basic("good", "right")) as monitor:
        with web.open("a") as file:
            file.write("\nrate_limit: {interval: 1h, burst: 3}\n")
        wait_for(lambda: "web configuration has changed and was reloaded" in monitor.log, "the limit")
        wrong = [monitor.get("/metrics", headers).status for headers in (*[basic("good", "wrong")] * 3, WRONG[-1])]
        assert wrong == [401, 401, 401, 429]
        right = [monitor.get("/metrics", headers).status for headers in (basic("late", "right"), {}, {}, {})]
        assert right == [200, 200, 200, 429]


def test_the_example_of_the_documentation_is_accepted(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "network.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "web.yml").write_text(example)
    reading = read_web_config(tmp_path / "web.yml")
    assert reading.problems == []
    assert reading.config.tls
    assert reading.config.users
