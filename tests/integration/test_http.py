"""HTTP as clients see it, the decent and the others."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from genvd.web.connections import MAX_CONNECTIONS
from genvd.web.static_files import DIRECTORY, PAGES
from tests.standin import Gpu, Scenario
from tests.support.monitor import Monitor, Series, parse, series
from tests.support.needs import need, need_command, need_localhost
from tests.support.scarcity import many_descriptors
from tests.support.waiting import wait_for

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PATHS = ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/snapshot", "/page/data.json", "/page/day.json"]
COLLECTIONS = series("genv_monitor_collections_total")

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


def parse_openmetrics(text: str) -> Series:
    """Return the series of an exposition in OpenMetrics."""
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    samples = (sample for family in families for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """One that has made its only collection for the next hour."""
    directory = tmp_path_factory.mktemp("http")
    environment = {"GENV_TMPDIR": str(directory)}
    with Monitor(["--demo", "--interval", "1h", "--config-dir", directory], environment=environment) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(autouse=True)
def lives_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test sent, the next client is served."""
    yield
    if "monitor" in request.fixturenames:
        assert request.getfixturevalue("monitor").get("/-/healthy").status == 200


def connect(monitor: Monitor) -> socket.socket:
    return socket.create_connection((monitor.host, monitor.port), timeout=10)


def exchange(monitor: Monitor, *parts: bytes, timeout: float = 10) -> bytes:
    """Send bytes on a connection of their own; return all that comes until the server closes it."""
    with closing(connect(monitor)) as connection:
        connection.settimeout(timeout)
        answer = b""
        with suppress(ConnectionResetError, BrokenPipeError):
            for part in parts:
                connection.sendall(part)
        with suppress(ConnectionResetError):
            while received := connection.recv(65536):
                answer += received
        return answer


def processor_seconds(monitor: Monitor) -> float:
    """Return what the monitor has used so far, to the nanosecond (/proc/PID/task/TID/schedstat)."""
    tasks = Path(f"/proc/{monitor.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.MULTILINE)]


# --- What there is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [
        ("/", 200, "text/html; charset=utf-8"),
        ("/metrics", 200, TEXT),
        ("/-/healthy", 200, "text/plain; charset=utf-8"),
        ("/-/ready", 200, "text/plain; charset=utf-8"),
        ("/api/v1/snapshot", 200, "application/json"),
        *((path, 404, "text/plain; charset=utf-8") for path in ("/x", "/metrics/", "/Metrics", "/metrics;a", "/%2e")),
        *((path, 404, "text/plain; charset=utf-8") for path in ("/../etc/passwd", "/metrics%00", "/-/", "/%6detrics")),
    ],
)
def test_paths(monitor: Monitor, path: str, status: int, content_type: str) -> None:
    reply = monitor.get(path)
    assert (reply.status, reply.headers["Content-Type"]) == (status, content_type)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert int(reply.headers["Content-Length"]) == len(reply.body) > 0
    assert "Python" not in str(reply.headers)


def test_the_date_is_that_of_the_answer(monitor: Monitor) -> None:
    latest = 0.0
    for _ in range(2):
        wait_for(lambda: time.time() >= latest + 1, "another second")  # noqa: B023
        for path in (*PATHS, "/nothing"):
            earliest = int(time.time())
            latest = parsedate_to_datetime(monitor.get(path).headers["Date"]).timestamp()
            assert earliest <= latest <= time.time()


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
@pytest.mark.parametrize("accept", [{}, {"Accept": PROMETHEUS_3, "Accept-Encoding": "gzip"}], ids=["plain", "gzip"])
def test_head_is_get_without_the_body(monitor: Monitor, path: str, accept: dict[str, str]) -> None:
    get, head = (monitor.get(path, accept, method) for method in ("GET", "HEAD"))
    for reply in (get, head):
        del reply.headers["Date"]
    assert (head.status, head.headers.items(), head.body) == (get.status, get.headers.items(), b"")


def test_head_sends_no_body_on_the_wire(monitor: Monitor) -> None:
    answer = exchange(monitor, b"HEAD /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO", "get"])
@pytest.mark.parametrize("path", ["/metrics", "/nothing"])
def test_other_methods_are_refused(monitor: Monitor, method: str, path: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    answer = exchange(monitor, request)
    assert statuses(answer) in ([405], [404])
    if statuses(answer) == [405]:
        assert b"\r\nAllow: GET, HEAD\r\n" in answer


@pytest.mark.parametrize("query", ["?", "?a=b", "?name[]=up&x=%00", "??", "?/../x"])
def test_the_query_does_not_count(monitor: Monitor, query: str) -> None:
    assert monitor.get("/-/healthy" + query).body == b"Healthy.\n"
    assert monitor.get("/x" + query).status == 404


def test_the_whole_address_is_taken_as_a_proxy_sends_it(monitor: Monitor) -> None:
    request = f"GET http://{monitor.host}:{monitor.port}/-/healthy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert statuses(exchange(monitor, request.encode())) == [200]


def test_the_snapshot_is_json(monitor: Monitor) -> None:
    snapshot = monitor.snapshot()
    assert len(snapshot["devices"]) == 8
    assert snapshot["service"]["mode"] == "demo"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("", "text/html; charset=utf-8"),
    ],
)
def test_the_root_is_the_page_or_the_snapshot(monitor: Monitor, accept: str, content_type: str) -> None:
    reply = monitor.get("/", {"Accept": accept} if accept else {})
    assert reply.headers["Content-Type"] == content_type
    assert "Accept" in reply.headers["Vary"]
    if content_type == "application/json":
        assert json.loads(reply.body)["service"]["mode"] == "demo"


def linked(text: str) -> set[str]:
    return set(re.findall(r'(?:href|src)="([^"#]+)"', text)) | {
        f"page/{name}" for name in re.findall(r'from "./(.*?)"', text)
    }


def test_the_page_leads_to_everything_and_all_of_it_is_there(monitor: Monitor) -> None:
    pending, seen = {""}, set()
    while pending:
        path = pending.pop()
        seen.add(path)
        reply = monitor.get(f"/{path}")
        assert reply.status == 200, path
        if path in ("", "page/main.js") or path.endswith(".js"):
            pending |= linked(reply.body.decode()) - seen
    shipped = {f"page/{file.name}" for file in DIRECTORY.iterdir()} - {"page/index.html"}
    shipped |= {"page/docs/", "page/docs/runbook.html", "page/table.html"}
    named = {path.removeprefix("/") for path in PATHS if path != "/"} - {"page/data.json", "page/day.json", "-/ready"}
    assert {path for path in seen if path and "${" not in path} == named | shipped


def test_the_page_names_what_works_without_scripts(monitor: Monitor) -> None:
    head, body = re.findall(r"<noscript>(.*?)</noscript>", monitor.get("/").body.decode(), re.DOTALL)
    assert linked(body) == {"page/table.html"}
    assert "url=page/table.html" in head
    reply = monitor.get("/page/table.html")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "script-src" not in reply.headers["Content-Security-Policy"]
    assert reply.body.count(b'<tr><th scope="row">') > 8


def test_the_documents_are_there(monitor: Monitor) -> None:
    named = re.findall(r'href="(docs/[^"]*)"', monitor.get("/page/help.html").body.decode())
    assert {f"docs/{name}.html" for name in ("metrics", "configuration", "operations", "runbook")} <= {*named}
    for path in named:
        reply = monitor.get(f"/page/{path}")
        kind = "html" if PAGES.is_dir() else "plain"  # before 'make documents'
        assert (reply.status, reply.headers["Content-Type"]) == (200, f"text/{kind}; charset=utf-8"), path
        assert "script-src" not in reply.headers["Content-Security-Policy"]
    assert monitor.get("/page/docs/").body == monitor.get("/page/docs/README.html").body
    for other in ("/page/docs/gone.html", "/page/docs/metrics.md", "/page/docs/../help.html"):
        assert monitor.get(other).status == 404


@pytest.mark.parametrize(
    ("path", "to"), [("/page", "/"), ("/page/", "/"), ("/page/docs", "/page/docs/")], ids=["page", "slash", "docs"]
)
def test_directories_lead_somewhere(monitor: Monitor, path: str, to: str) -> None:
    reply = monitor.get(path)
    assert reply.status == 308
    assert urljoin(path, reply.headers["Location"]) == to


@pytest.mark.parametrize(
    "path",
    ["/", "/page/main.js", "/page/docs/driver.html", "/page/data.json", "/page/table.html", "/api/v1/snapshot"],
)
def test_what_a_client_has_already_is_not_sent_again(monitor: Monitor, path: str) -> None:
    first = monitor.get(path)
    tag = first.headers["ETag"]
    for had in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        reply = monitor.get(path, {"If-None-Match": had})
        assert (reply.status, reply.body) == (304, b"")
        assert reply.headers["ETag"] == tag
        assert reply.headers.get("Content-Length") is None
    assert monitor.get(path, {"If-None-Match": '"other"'}).body == first.body
    packed = monitor.get(path, {"Accept-Encoding": "gzip"})
    if packed.headers["Content-Encoding"] == "gzip":
        assert gzip.decompress(packed.body) == first.body
    assert (packed.headers["Content-Encoding"] == "gzip") == (
        path in ("/page/data.json", "/page/table.html", "/api/v1/snapshot")
    )


def test_what_is_made_of_a_collection_is_new_after_the_next(tmp_path: Path) -> None:
    with Monitor(["--demo", "-i", "0.1", "--config-dir", tmp_path]) as running:
        tag = running.get("/page/data.json").headers["ETag"]
        wait_for(lambda: running.get("/page/data.json", {"If-None-Match": tag}).status == 200, "something new")


LONG = 15 * 1024
"""Characters: as much as goes into a head."""


@pytest.mark.parametrize(
    "value",
    ["," * LONG, "a;q=1," * (LONG // 6), ";" * LONG, "W/" * (LONG // 2), "a" * LONG, " " * LONG + ","],
    ids=["commas", "weights", "semicolons", "weak", "one word", "spaces"],
)
@pytest.mark.parametrize("name", ["Accept", "Accept-Encoding", "If-None-Match", "Connection", "Authorization"])
def test_no_header_field_costs_much(monitor: Monitor, name: str, value: str) -> None:
    """No more than one that nobody parses; 15 KiB of commas took 20 to 40 ms each."""

    def cost(field: str) -> float:
        before = processor_seconds(monitor)
        for number in range(50):
            path = ("/metrics", "/page/data.json")[number % 2]
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}: {value}{number}\r\n\r\n"
            with closing(connect(monitor)) as connection:
                connection.sendall(head.encode())
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        return processor_seconds(monitor) - before

    assert cost(name) <= 2 * cost("X-Nobody-Reads-This") + 0.1


@pytest.mark.parametrize("host", [":" * LONG, "a." * (LONG // 2), "[" * LONG, "1" * LONG])
def test_no_host_costs_much(monitor: Monitor, host: str) -> None:
    before = processor_seconds(monitor)
    for number in range(50):
        assert statuses(ask(monitor, "/page/data.json", f"{host}{number}")) == [421]
    assert processor_seconds(monitor) - before < 0.3


# --- Browsers ------------------------------------------------------------------------------------------------


def ask(monitor: Monitor, path: str, *hosts: str, version: str = "1.1") -> bytes:
    fields = "".join(f"Host: {host}\r\n" for host in hosts)
    request = f"GET {path} HTTP/{version}\r\n{fields}Connection: close\r\n\r\n"
    return exchange(monitor, request.encode())


OUR_HOSTS = ["127.0.0.1", "127.0.0.1:8000", "192.0.2.7:80", "[::1]:8000", "[fe80::1%25e]", "localhost", "LocalHost.:1"]
OTHER_HOSTS = ["evil.example", "evil.example:8000", "", ":8000", "localhost.evil.example", "127.0.0.1.evil.example"]
OTHER_HOSTS += ["127.1.evil", "a@localhost", "[::1].evil.example", "localhost:80:80", "localhost/", "0x7f.1"]


@pytest.mark.parametrize("path", [*PATHS, "/page/docs/driver.html"])
def test_browsers_see_pages_only_by_names_that_are_ours(monitor: Monitor, path: str) -> None:
    for host in [*OUR_HOSTS, socket.gethostname(), socket.gethostname().upper() + ":8000"]:
        assert statuses(ask(monitor, path, host)) == [200], host
    for host in OTHER_HOSTS:
        answer = ask(monitor, path, host)
        if path in ("/", "/api/v1/snapshot", "/page/data.json", "/page/day.json", "/page/docs/driver.html"):
            assert statuses(answer) == [421], host
            assert b"listen.names" in answer
        else:
            assert statuses(answer) == [200], host


@pytest.mark.parametrize(
    "field",
    [
        "Origin: http://evil.example",
        "Referer: http://evil.example/page",
        "Sec-Fetch-Site: same-origin",
        "sec-fetch-mode: cors",
        "Accept-Language: de",
    ],
)
def test_a_browser_scrapes_only_by_names_that_are_ours(monitor: Monitor, field: str) -> None:
    for host, status in (("evil.example:8000", 421), ("localhost:8000", 200), ("192.0.2.7", 200)):
        request = f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n{field}\r\nConnection: close\r\n\r\n"
        answer = exchange(monitor, request.encode())
        assert statuses(answer) == [status], host
        assert (b"genv_monitor_build_info" in answer) == (status == 200)


def test_scrapers_go_by_any_name(monitor: Monitor) -> None:
    fields = "User-Agent: Prometheus/3.5.0\r\nAccept: application/openmetrics-text\r\nAccept-Encoding: gzip\r\n"
    fields += "X-Prometheus-Scrape-Timeout-Seconds: 10\r\nConnection: close\r\n"
    assert statuses(exchange(monitor, f"GET /metrics HTTP/1.1\r\nHost: gpu\r\n{fields}\r\n".encode())) == [200]
    assert statuses(
        exchange(
            monitor,
            b"GET /metrics HTTP/1.1\r\nHost: a.b\r\nUser-Agent: curl/8\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        )
    ) == [200]


@pytest.mark.parametrize("code", sorted({*range(0x20), 0x7F} - {0x09}))
def test_a_control_character_in_a_field_is_refused(monitor: Monitor, code: int) -> None:
    head = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: a%bb\r\n\r\n"
    assert statuses(exchange(monitor, head % bytes([code]))) == [400]


@pytest.mark.parametrize("value", [b"", b"\t", b"a\tb", b" ~", b"\x80\xa0\xff", "ü".encode()])
def test_other_characters_in_a_field_are_not(monitor: Monitor, value: bytes) -> None:
    head = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX:%b\r\n\r\n"
    assert statuses(exchange(monitor, head % value)) == [200]


def test_the_name_in_the_address_counts_more_than_the_field(monitor: Monitor) -> None:
    assert statuses(ask(monitor, "http://evil.example/api/v1/snapshot", "localhost")) == [421]


def test_a_request_names_one_host(monitor: Monitor) -> None:
    for path in PATHS:
        assert statuses(ask(monitor, path)) == [400]
        assert statuses(ask(monitor, path, "localhost", "localhost")) == [400]
        assert statuses(ask(monitor, path, "localhost", "localhost", version="1.0")) == [400]
        assert statuses(ask(monitor, path, version="1.0")) == [200]


def test_further_names_are_configured(tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text("listen: {names: 'gpu.example.org, gpu'}\n")
    with Monitor(["-c", config, "--demo", "--config-dir", tmp_path]) as monitor:
        for host, status in (("GPU.example.org:8000", 200), ("gpu", 200), ("example.org", 421), ("gpu2", 421)):
            assert statuses(ask(monitor, "/", host)) == [status]


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_no_other_site_may_use_it(monitor: Monitor, path: str) -> None:
    headers = monitor.get(path, {"Origin": "http://evil.example"}).headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert not [name for name in headers if name.lower().startswith("access-control-")]
    (policy,) = headers.get_all("Content-Security-Policy") or [""]
    for directive in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert f"{directive} 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/page/help.html"])
def test_the_page_may_use_its_own_files_and_nothing_else(monitor: Monitor, path: str) -> None:
    reply = monitor.get(path)
    policy = dict(directive.split(" ", 1) for directive in reply.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        **dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"), "'none'"),
        **dict.fromkeys(("script-src", "style-src", "connect-src", "img-src"), "'self'"),
        "require-trusted-types-for": "'script'",
    }
    text = reply.body.decode()
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?! type=\"module\" src=)|https?://", text)


def test_it_listens_on_this_machine_only_unless_told_otherwise(monitor: Monitor) -> None:
    lines = Path(f"/proc/{monitor.process.pid}/net/tcp").read_text().splitlines()
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{monitor.port:04X}")] == [
        f"0100007F:{monitor.port:04X}"
    ]


# --- Content negotiation -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("*/*", TEXT),
        (None, TEXT),
        ("text/plain", TEXT),
        ("application/openmetrics-text;q=0, */*", TEXT),
        ("text/plain;q=0, */*;q=0.1", OPENMETRICS),
        ("*/*;q=0", TEXT),
        (";;q=,=;~/\xff", TEXT),
        ("," * 15_000, TEXT),
    ],
)
def test_the_format_is_the_one_accepted(monitor: Monitor, accept: str | None, content_type: str) -> None:
    reply = monitor.get("/metrics", {} if accept is None else {"Accept": accept})
    assert (reply.status, reply.headers["Content-Type"]) == (200, content_type)
    assert reply.headers["Vary"] == "Accept, Accept-Encoding"
    assert reply.body.endswith(b"# EOF\n") == (content_type == OPENMETRICS)


def test_both_formats_tell_the_same(monitor: Monitor) -> None:
    text = parse(monitor.get("/metrics").body.decode())
    assert parse_openmetrics(monitor.get("/metrics", {"Accept": PROMETHEUS_3}).body.decode()) == text


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("deflate", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS_3], ids=["text", "openmetrics"])
def test_it_is_compressed_only_for_who_takes_it(
    monitor: Monitor, accept: str, accept_encoding: str, compressed: bool
) -> None:
    plain = monitor.get("/metrics", {"Accept": accept, "Accept-Encoding": "identity"})
    reply = monitor.get("/metrics", {"Accept": accept, "Accept-Encoding": accept_encoding})
    assert reply.headers["Content-Encoding"] == ("gzip" if compressed else None)
    assert (gzip.decompress(reply.body) if compressed else reply.body) == plain.body


# --- Connections ---------------------------------------------------------------------------------------------


def test_a_connection_is_kept(monitor: Monitor) -> None:
    with closing(http.client.HTTPConnection(monitor.host, monitor.port, timeout=10)) as connection:
        connection.connect()
        kept = connection.sock
        for path in [*PATHS, "/nothing", "/metrics?x"] * 20:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert response.headers["Connection"] is None
            assert connection.sock is kept


def test_http_1_0_closes(monitor: Monitor) -> None:
    answer = exchange(monitor, b"GET /-/healthy HTTP/1.0\r\n\r\n")
    assert statuses(answer) == [200]
    assert answer.endswith(b"Healthy.\n")


@pytest.mark.parametrize("value", [b"close", b"Close", b"close, TE", b"TE, close"])
def test_connection_close_closes(monitor: Monitor, value: bytes) -> None:
    answer = exchange(monitor, b"GET /-/healthy HTTP/1.1\r\nHost: h\r\nConnection: " + value + b"\r\n\r\n", timeout=3)
    assert statuses(answer) == [200]
    assert b"\r\nConnection: close\r\n" in answer


def test_pipelined_requests_are_answered_in_their_order(monitor: Monitor) -> None:
    paths = ["/-/healthy", "/nothing", "/-/ready", "/-/healthy"] * 25
    requests = [f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for path in paths]
    answer = exchange(monitor, b"".join(requests), b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [404 if path == "/nothing" else 200 for path in paths] + [200]
    assert answer.endswith(b"</html>\n")


def test_a_request_may_come_in_pieces(monitor: Monitor) -> None:
    request = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert statuses(exchange(monitor, *(request[n : n + 1] for n in range(len(request))))) == [200]


SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /-/healthy HTTP/1.1\r\nContent-Length: %d\r\n",
        b"POST /-/healthy HTTP/1.1\r\nContent-Length: %d\r\n",
        b"HEAD /-/healthy HTTP/1.1\r\nContent-Length: %d\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: %d\r\n",
        b"GET /-/healthy HTTP/1.1\r\ncontent-length:%d\r\n",
        b"GET /-/healthy HTTP/1.1\r\nContent-Length: %d\r\nContent-Length: 0\r\n",
        b"GET /-/healthy HTTP/1.1\r\nContent-Length: -1\r\nX: %d\r\n",
        b"GET /-/healthy HTTP/1.1\r\nContent-Length : %d\r\n",
        b"GET /-/healthy HTTP/1.1\r\nno colon\r\nContent-Length: %d\r\n",
        b"GET /-/healthy HTTP/1.1\r\n Folded: x\r\nContent-Length: %d\r\n",
        b"GET /-/healthy HTTP/1.1\r\nX: \x00\r\nContent-Length: %d\r\n",
        b"GET /-/healthy HTTP/1.1\r\nX: \rContent-Length: %d\r\n",
    ],
)
def test_a_body_is_never_taken_for_a_request(monitor: Monitor, head: bytes) -> None:
    answer = exchange(monitor, head % len(SMUGGLED) + b"Host: h\r\n\r\n" + SMUGGLED, timeout=3)
    assert len(statuses(answer)) == 1
    assert b"# HELP" not in answer


def test_who_wants_to_send_a_body_is_told_at_once(monitor: Monitor) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    assert statuses(exchange(monitor, head))[-1] == 405


def test_a_large_body_is_refused(monitor: Monitor) -> None:
    exchange(monitor, b"POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n", *[bytes(1 << 20)] * 20)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"GARBAGE\r\n\r\n", id="one word"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS without an end of line"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"GET / HTTP/x\r\n\r\n", id="version"),
        pytest.param(b"GET / HTTP/1.1.1\r\n\r\n", id="versions"),
        pytest.param(b"GET / FTP/1.1\r\n\r\n", id="protocol"),
        pytest.param(b"GET /a b HTTP/1.1\r\n\r\n", id="space"),
        pytest.param(b"POST /\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", id="long line"),
        pytest.param(b"a" * 200_000, id="endless line"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", id="many headers"),
        pytest.param(b"\x00" * 100 + b"\r\n\r\n", id="zeros"),
    ],
)
def test_garbage_is_refused(monitor: Monitor, request_: bytes) -> None:
    (status,) = statuses(exchange(monitor, request_))
    assert status in range(400, 500) or (status == 505 and b"HTTP/2" in request_)
    assert status != 408, "it is refused at once"


@pytest.mark.parametrize("size", [16_000, 17_000, 60_000])
def test_a_head_is_bounded(monitor: Monitor, size: int) -> None:
    request = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: " + b"a" * size + b"\r\n\r\n"
    assert statuses(exchange(monitor, request)) == [200 if size < 16_384 else 431]


def test_who_sends_a_request_too_slowly_is_told_and_let_go(monitor: Monitor) -> None:
    assert statuses(exchange(monitor, b"GET / HTTP/1.1\r\n", timeout=20)) == [408]
    assert exchange(monitor, timeout=20) == b""


def test_who_is_refused_may_end_what_it_was_sending(monitor: Monitor) -> None:
    """Else the connection is reset, and on its way through a network the answer may be lost with it."""
    with closing(connect(monitor)) as connection:
        connection.sendall(b"a" * 20_000)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert statuses(answer) == [414]
        for _ in range(100):
            connection.sendall(b"a" * 5_000)


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost", b"\xff" * 10])
def test_a_client_may_go_away(monitor: Monitor, sent: bytes) -> None:
    for _ in range(20):
        with closing(connect(monitor)) as connection:
            connection.sendall(sent)


def test_a_client_need_not_read(monitor: Monitor) -> None:
    with ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(closing(connect(monitor)))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 1000)
        assert monitor.get("/metrics").status == 200


def test_silent_connections_shut_out_nobody(monitor: Monitor) -> None:
    with many_descriptors(MAX_CONNECTIONS + 50), ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 50):
            stack.enter_context(closing(connect(monitor)))
        for _ in range(20):
            assert monitor.get("/metrics").status == 200
        assert threads(monitor) < 20
        assert descriptors(monitor) <= MAX_CONNECTIONS + 100
    wait_for(lambda: descriptors(monitor) < 50, "the descriptors of the connections are free again")


def descriptors(monitor: Monitor) -> int:
    return len(list(Path(f"/proc/{monitor.process.pid}/fd").iterdir()))


def threads(monitor: Monitor) -> int:
    return len(list(Path(f"/proc/{monitor.process.pid}/task").iterdir()))


def test_it_stops_while_connections_are_open(tmp_path: Path) -> None:
    with Monitor(["--demo", "--config-dir", tmp_path]) as monitor, ExitStack() as stack:
        for sent in (b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"):
            connection = stack.enter_context(closing(connect(monitor)))
            connection.sendall(sent)
        monitor.process.terminate()
        assert monitor.process.wait(timeout=1.5) == 0


def test_connections_leave_descriptors_to_the_collections(tmp_path: Path) -> None:
    prlimit = need_command("prlimit", "util-linux")
    with Monitor(["--demo", "-i", "0.2", "--config-dir", tmp_path]) as monitor, ExitStack() as stack:
        subprocess.run([prlimit, "--nofile=60", "--pid", str(monitor.process.pid)], check=True)
        for _ in range(80):
            stack.enter_context(closing(connect(monitor)))
        wait_for(lambda: descriptors(monitor) >= 35, "the descriptors that connections may have are taken")
        monitor.next_metrics(3)
        assert descriptors(monitor) < 50


def test_without_descriptors_it_waits_for_some(tmp_path: Path) -> None:
    prlimit = need_command("prlimit", "util-linux")
    with Monitor(["--demo", "--config-dir", tmp_path]) as monitor:
        limit = descriptors(monitor) + 2
        with ExitStack() as stack:
            subprocess.run([prlimit, f"--nofile={limit}", "--pid", str(monitor.process.pid)], check=True)
            for _ in range(60):
                stack.enter_context(closing(connect(monitor)))
            wait_for(lambda: descriptors(monitor) >= limit - 1, "all descriptors are taken")
            wait_for(lambda: monitor.complaints, "it says so")
            for _ in range(60):  # each of which has to wait for others to be let go
                stack.enter_context(closing(connect(monitor)))
        wait_for(lambda: monitor.get("/metrics").status == 200, "a scrape")
        assert "Traceback" not in monitor.log
        (said,) = (line for line in monitor.complaints if "cannot accept connections" in line)
        assert "Too many open files" in said
        assert "LimitNOFILE" in said


# --- Addresses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("0.0.0.0", ["127.0.0.1", "127.0.0.2"]),
        ("::", ["::1", "127.0.0.1"]),
        ("::1", ["::1"]),
        ("127.0.0.2", ["127.0.0.2"]),
        ("localhost", ["localhost"]),
    ],
)
def test_it_serves_on_the_address(tmp_path: Path, address: str, hosts: list[str]) -> None:
    need(":" not in address or Path("/proc/net/if_inet6").exists(), "needs IPv6", optional=True)
    if address == "localhost":
        need_localhost()
    with Monitor(["-a", address, "--demo", "--config-dir", tmp_path], host=hosts[0]) as monitor:
        for monitor.host in hosts:
            assert monitor.get("/metrics").status == 200
        for other in {"127.0.0.3", "::1"} - set(hosts) if address in ("127.0.0.2", "::1") else ():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((other, monitor.port), timeout=5).close()


def test_it_serves_on_a_link_local_address(tmp_path: Path) -> None:
    known = Path("/proc/net/if_inet6")
    interfaces = [line.split() for line in known.read_text().splitlines()] if known.exists() else []
    link_local = [(fields[0], fields[5]) for fields in interfaces if fields[0].startswith("fe80")]
    need(link_local, "needs an IPv6 link-local address", optional=True)
    digits, interface = link_local[0]
    address = ":".join(digits[n : n + 4] for n in range(0, 32, 4)) + f"%{interface}"
    with Monitor(["-a", address, "--demo", "--config-dir", tmp_path], host=address) as monitor:
        assert monitor.get("/-/healthy").status == 200


# --- Ticks ---------------------------------------------------------------------------------------------------


def test_before_the_first_collection_it_is_healthy_but_not_ready(
    scenario: Scenario, nvml_library: Path, state_directory: Path, tmp_path: Path
) -> None:
    scenario.gpus = [Gpu("GPU-0", temperature=40)]
    scenario.hangs["*"] = 60_000
    scenario.write()
    config = tmp_path / "monitor.yaml"
    config.write_text("collect: {timeout: 20s, interval: 30s}\n")
    options = ["-c", str(config), "--config-dir", str(tmp_path / "published")]
    monitor = Monitor(options, environment=scenario.environment(nvml_library))
    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(monitor.__enter__)
        try:
            wait_for(lambda: monitor.port, "the port")
            expected = {
                **dict.fromkeys(PATHS, 503),
                **dict.fromkeys(("/", "/page/data.json", "/page/day.json", "/-/healthy"), 200),
                "/nothing": 404,
            }
            for method in ("GET", "HEAD"):
                assert {path: monitor.get(path, method=method).status for path in expected} == expected
            scenario.hangs.clear()
            scenario.write()
            wait_for(lambda: monitor.get("/-/ready").status == 200, "ready")
            assert monitor.metrics()[series("genv_device_temperature", index=0)] == 40
            assert monitor.metrics()[COLLECTIONS] == 1
        finally:
            scenario.hangs.clear()
            scenario.write()
            entering.exception()
            monitor.__exit__()


def test_a_stuck_driver_delays_no_scrape(
    scenario: Scenario, nvml_library: Path, state_directory: Path, tmp_path: Path
) -> None:
    scenario.gpus = [Gpu("GPU-0", temperature=40)]
    scenario.write()
    config = tmp_path / "monitor.yaml"
    config.write_text("collect: {timeout: 20s, interval: 21s}\n")
    options = ["-c", str(config), "--config-dir", str(tmp_path / "published")]
    with Monitor(options, environment=scenario.environment(nvml_library)) as monitor:
        scenario.hangs["*"] = 60_000
        scenario.write()
        monitor.process.send_signal(1)  # SIGHUP: collect at once
        body = monitor.get("/metrics").body
        for _ in range(50):
            assert monitor.get("/metrics").body == body


def test_scrapes_of_one_tick_get_the_same_bytes(monitor: Monitor) -> None:
    for accept in ({}, {"Accept": PROMETHEUS_3}, {"Accept-Encoding": "gzip"}):
        assert len({monitor.get("/metrics", accept).body for _ in range(10)}) == 1


@pytest.mark.parametrize("headers", [{}, {"Accept": PROMETHEUS_3}, {"Accept-Encoding": "gzip"}], ids=str)
def test_the_next_tick_gives_other_bytes(tmp_path: Path, headers: dict[str, str]) -> None:
    with Monitor(["--demo", "-i", "0.1", "--config-dir", tmp_path]) as monitor:
        before = monitor.get("/metrics", headers).body
        wait_for(lambda: monitor.get("/metrics", headers).body != before, "other bytes")


def test_parallel_scrapes_are_complete_and_consistent(tmp_path: Path) -> None:
    scrapes, clients = 15, 8
    seen: dict[tuple[bool, float], set[bytes]] = {}
    lock = threading.Lock()

    def scrape(client: int) -> None:
        openmetrics, compressed = bool(client & 1), bool(client & 2)
        headers = {"Accept": PROMETHEUS_3 if openmetrics else "*/*"}
        headers["Accept-Encoding"] = "gzip" if compressed else "identity"
        with closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)) as connection:
            last = 0.0
            for _ in range(scrapes):
                connection.request("GET", "/metrics", headers=headers)
                response = connection.getresponse()
                body = gzip.decompress(response.read()) if compressed else response.read()
                found = re.search(rb"^genv_monitor_collections_total (\S+)$", body, re.MULTILINE)
                assert found
                number = float(found[1])
                assert number >= last
                last = number
                with lock:
                    seen.setdefault((openmetrics, number), set()).add(body)

    with Monitor(["--demo", "64", "--interval", "0.5", "--config-dir", tmp_path]) as running:
        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(scrape, client) for client in range(clients)]:
                done.result()
        assert "Traceback" not in running.log

    assert len({number for _, number in seen}) > 1
    for (openmetrics, _), bodies in seen.items():
        (body,) = bodies  # whoever scraped this tick, and however, got the same
        text = body.decode()
        assert len(parse_openmetrics(text) if openmetrics else parse(text)) > 64
        assert text.count("\ngenv_device_temperature{") == 64
