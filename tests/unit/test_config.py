"""monitor.yaml: what it may say, what it may not, and how that is told."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import genvd
from genvd.config.loader import ConfigError, load, parse_option
from genvd.config.schema import SECTIONS, Config, settings
from genvd.config.values import parse_duration, show_duration
from genvd.config.yaml_reader import MAX_BYTES
from genvd.config.yaml_writer import as_yaml, sample
from tests.support.monitor import PROGRAM
from tests.support.needs import need_command
from tools.configuration import json_schema

CPU_SECONDS = 5
"""Seconds in which any file is judged; a service that starts waits for it."""

SETTINGS = list(settings())

MAIL = "smarthost: mail.example.org:25\n  from: gpus@example.org\n  admins: root@example.org"
COMPANIONS = {
    "scrape_cert_file": "key_file: /key",
    "scrape_key_file": "cert_file: /certificate",
    "scrape_username": "password_file: /password",
    "scrape_password_file": "username: somebody",
    "notify_auth_username": f"auth_password_file: /password\n  {MAIL}",
    "notify_auth_password_file": f"auth_username: somebody\n  {MAIL}",
    "notify_alertmanager_username": "alertmanager_password_file: /password",
    "notify_alertmanager_password_file": "alertmanager_username: somebody",
    "notify_ca_file": MAIL,
    "notify_user_address": MAIL,
    "notify_webhook_credentials_file": "webhook_url: https://hooks.example.org/",
}
"""What else has to be said for a key to be of use."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.yaml"


def read(file: Path, text: str, overrides: dict[str, Any] | None = None) -> Config:
    file.write_text(text)
    return load(file, overrides)


def problems(file: Path, content: str | bytes) -> list[str]:
    """Return what is reported, without the name of the file."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    for problem in caught.value.problems:
        assert problem.startswith(str(file))
        assert len(problem.splitlines()) == 1
        assert len(problem) < len(str(file)) + 400
    return [problem.removeprefix(str(file)) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("listen.address", "0.0.0.0", "0.0.0.0"),
        ("listen.address", "'::'", "::"),
        ("listen.address", "fe80::1%eth0", "fe80::1%eth0"),
        ("listen.address", "gpu-01.example.org", "gpu-01.example.org"),
        ("listen.port", "0", 0),
        ("listen.port", "65535", 65535),
        ("listen.port", "'8000'", 8000),
        ("collect.interval", "2.5", 2.5),
        ("collect.interval", "100ms", 0.1),
        ("collect.interval", "1h", 3600.0),
        ("collect.interval", "1m30s", 90.0),
        ("collect.timeout", "50ms", 0.05),
        ("collect.timeout", "7s", 7.0),
        ("genv.state_directory", "/srv/genv", Path("/srv/genv")),
        ("genv.state_directory", '""', None),
        ("publish.enabled", "no", False),
        ("publish.enabled", "On", True),
        ("publish.enabled", "false", False),
        ("publish.directory", "/srv/a b", Path("/srv/a b")),
        ("publish.prometheus_url", "https://prometheus.example.org:9090/p?a=b#c", None),
        *(
            ("publish.targets", text, expected)
            for text, expected in (
                ("[]", ()),
                ('""', ()),
                ("gpu1:8000", ("gpu1:8000",)),
                ("gpu1:8000, gpu2.example.org:1", ("gpu1:8000", "gpu2.example.org:1")),
                ("[gpu1:8000, 192.0.2.7:65535]", ("gpu1:8000", "192.0.2.7:65535")),
                ("['[2001:DB8:0::1]:8000', GPU1:8000]", ("[2001:db8::1]:8000", "gpu1:8000")),
                ("\n  - /etc/genv/machines.yml\n  - gpu1:8000", ("/etc/genv/machines.yml", "gpu1:8000")),
                ("/etc/genv/with 'quotes\" and $/*.json", ("/etc/genv/with 'quotes\" and $/*.json",)),
            )
        ),
        ("scrape.scheme", "HTTPS", "https"),
        ("scrape.ca_file", "/etc/prometheus/ca.pem", Path("/etc/prometheus/ca.pem")),
        ("scrape.server_name", "gpu.example.org", "gpu.example.org"),
        ("scrape.credentials_file", "/etc/prometheus/token", Path("/etc/prometheus/token")),
        ("logging.level", "debug", "debug"),
        ("logging.level", "WARNING", "warning"),
    ],
)
def test_every_key_is_read(file: Path, key: str, text: str, expected: object) -> None:
    section, name = key.split(".")
    config = read(file, f"{section}:\n  {name}: {text}\n")
    field = f"{section}_{name}"
    assert getattr(config, field) == (text if field == "publish_prometheus_url" else expected)
    timeout = Config().collect_timeout  # which may give way to the interval
    assert dataclasses.replace(config, **{"collect_timeout": timeout, field: getattr(Config(), field)}) == Config()


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("listen.address", text) for text in ('""', "a b", "h/x", "'a,b'", '"h\\n"', "'$(id)'")),
        *(("listen.port", text) for text in ("-1", "65536", "http", "80.0", "0x50", "8_000", "1e3", "\uff18\uff10")),
        *(
            ("collect.interval", text)
            for text in ("0", "-1", "1x", '""', "1e9", ".inf", "inf", ".nan", "nan", "99ms", "3601", "1h1ms", "10 s")
        ),
        *(
            ("collect.interval", text)
            for text in ("1:30", "s", "1s-", "+5", "1,5", "0x10", "1m 30s", "9" * 400, "\uff11\uff10")
        ),
        *(("collect.timeout", text) for text in ("0", "20.1s", "soon")),
        *(("genv.state_directory", text) for text in ("genv", "./genv", "~/genv", '"/a\\0b"')),
        *(("publish.enabled", text) for text in ("maybe", "1", "2", "truee")),
        *(("publish.directory", text) for text in ("metrics", "C:\\metrics")),
        *(
            ("publish.prometheus_url", text)
            for text in ("localhost:9090", "ftp://h", "http://", "http://a b", "'http://a\"b'", '"http://a\\nb: c"')
        ),
        *(
            ("publish.targets", text)
            for text in (
                "gpu1",
                "'gpu1:'",
                ":8000",
                "gpu1:0",
                "gpu1:65536",
                "gpu1:08000",
                "http://gpu1:8000",
                "gpu1:8000/x",
            )
        ),
        *(
            ("publish.targets", text)
            for text in (
                "::1:8000",
                "'[::1]'",
                "'[::g]:1'",
                "'[fe80::1%eth0]:1'",
                "1.2.3:1",
                "256.0.0.1:1",
                "-a:1",
                "ü:1",
            )
        ),
        *(
            ("publish.targets", text)
            for text in (
                "'a\"b:1'",
                '"a\\nb:1"',
                "a'b:1",
                "$HOME:1",
                "${a}:1",
                "'{{a}}:1'",
                "'a b:1'",
                "a:1,a:1",
                "',a:1'",
            )
        ),
        *(
            ("publish.targets", text)
            for text in ("m.yml", "/m", "/m.yaml.txt", "/*/m.yml", "/**.yml", "/m?.yml", "'/[a].yml'", "'/a\\.yml'")
        ),
        *(
            ("publish.targets", f"[gpu1:8000, {text}]")
            for text in ("gpu2", "[gpu3:1]", "{gpu3: 1}", "GPU1:8000", "null")
        ),
        *(("scrape.scheme", text) for text in ("ftp", '""', "tls")),
        *(("scrape.server_name", text) for text in ("'a b'", "a/b", "'a\"'")),
        *(("scrape.username", text) for text in ("'a:b'", '"a\\nb"', "a" * 201)),
        *(("scrape.ca_file", text) for text in ("ca.pem", '"/a\\nb"')),
        *(("logging.level", text) for text in ("loud", "5", "info debug")),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(file: Path, key: str, text: str) -> None:
    section, name = key.split(".")
    (problem,) = problems(file, f"# one\n{section}:\n  {name}: {text}\n")
    assert re.fullmatch(rf":3: {re.escape(key)}: (.+ is wrong|duplicate value .+); expected .+", problem)


@pytest.mark.parametrize("value", ["[1, 2]", "{a: b}", "!!python/tuple [1]", "&a [*a]"])
@pytest.mark.parametrize(
    "setting", [setting for setting in SETTINGS if not setting.kind.item], ids=lambda setting: setting.field
)
def test_a_list_or_mapping_is_no_value(file: Path, setting: Any, value: str) -> None:
    (problem,) = problems(file, f"{setting.section}:\n  {setting.key}: {value}\n")
    assert problem.startswith(f":2: {setting.section}.{setting.key}: a list or mapping is wrong; expected ")


def test_each_wrong_item_of_a_list_has_its_own_line(file: Path) -> None:
    found = problems(file, "publish:\n  targets:\n  - gpu1\n  - gpu2:8000\n  - [gpu3:8000]\n  - GPU2:8000\n")
    assert [problem.partition(";")[0] for problem in found] == [
        ":3: publish.targets: 'gpu1' is wrong",
        ":5: publish.targets: a list or mapping is wrong",
        ":6: publish.targets: duplicate value 'gpu2:8000'",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cert_file: /c", ":2: scrape.cert_file: has no effect alone; expected scrape.key_file too"),
        ("key_file: /k", ":2: scrape.key_file: has no effect alone; expected scrape.cert_file too"),
        ("username: a", ":2: scrape.username: has no effect alone; expected scrape.password_file too"),
        ("password_file: /p", ":2: scrape.password_file: has no effect alone; expected scrape.username too"),
        (
            "username: a\n  password_file: /p\n  credentials_file: /t",
            ":4: scrape.credentials_file: cannot be combined with scrape.username; expected only one of them",
        ),
        (
            "scheme: http\n  ca_file: /ca",
            ":3: scrape.ca_file: is used only with TLS; expected scrape.scheme to be https or auto",
        ),
    ],
)
def test_ways_to_get_in_that_do_not_go_together(file: Path, text: str, expected: str) -> None:
    assert problems(file, f"scrape:\n  {text}\n") == [expected]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("2.5", 2.5),
        (".5", 0.5),
        ("1h", 3600),
        ("1d", 86400),
        ("1.5m", 90),
        (".5h1.s", 1801),
        (" 7 ", 7),
        ("0", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["-1", "1x", "", " ", "1e9", "inf", "nan", "1.", "s", "10s!", "1 m", "--1", "1m-1s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "seconds",
    [0.05, 0.1, 0.0505, 0.1234567, 0.9996, 1, 1.5, 59.9999999, 60, 60.00001, 61.1, 0.55 * 3600, 3599.999, 3600],
)
def test_a_duration_reads_as_it_was_written(seconds: float) -> None:
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds, rel=1e-3)


def test_all_problems_are_told_at_once_in_their_order(file: Path) -> None:
    text = (
        "listen:\n  port: x\n  adress: h\ncollect:\n  interval: 0\nlogging: loud\nlisten: {}\npublis:\n  enabled: 1\n"
    )
    told = problems(file, text)
    assert [problem.split(": ")[:2] for problem in told] == [
        [":2", "listen.port"],
        [":3", "listen.adress"],
        [":5", "collect.interval"],
        [":6", "logging"],
        [":7", "listen"],
        [":8", "publis"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen:\n  prot: 1\n", ":2: listen.prot: unknown key; did you mean port?"),
        ("listen:\n  Port: 1\n", ":2: listen.Port: unknown key; did you mean port?"),
        ("lisen:\n  port: 1\n", ":1: lisen: unknown key; did you mean listen?"),
        ("collect:\n  zzz: 1\n", ":2: collect.zzz: unknown key; expected one of interval, timeout"),
        (
            "port: 1\n",
            ":1: port: unknown key; expected one of listen, collect, genv, idle, metrics, publish, scrape, notify,",
        ),
        ("listen:\n  port: 1\n  port: 2\n", ":3: listen.port: duplicate key; expected only one"),
        ("listen: {}\nlisten: {}\n", ":2: listen: duplicate key; expected only one"),
        ("listen: 8000\n", ":1: listen: is not a mapping; expected keys such as address"),
        ("listen: [port]\n", ":1: listen: is not a mapping; expected keys such as address"),
        ("- listen\n", ":1: the file is not a mapping; expected keys such as listen"),
        ("hello\n", ":1: the file is not a mapping; expected keys such as listen"),
        ("a: &a {port: 1}\nlisten:\n  <<: *a\n", ":1: a: unknown key; expected one of "),
    ],
)
def test_problems_of_structure(file: Path, text: str, expected: str) -> None:
    assert problems(file, text)[0].startswith(expected)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "# nothing\n", "null", "~\n", "---\n", "{}", "listen:\n", "listen:\n  port:\n", "\ufefflisten:\n"],
)
def test_what_is_not_said_is_the_default(file: Path, text: str) -> None:
    assert read(file, text) == Config()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"listen:\n\tport: 1\n", id="tab"),
        pytest.param(b"listen:\n  address: \xff\n", id="not UTF-8"),
        pytest.param("listen: {}".encode("utf-16"), id="UTF-16"),
        pytest.param(b"listen: \x00\n", id="NUL"),
        pytest.param(b"listen: {port: 1\n", id="not closed"),
        pytest.param(b"listen: {}\n---\nlisten: {}\n", id="two documents"),
        pytest.param(b"listen: *nothing\n", id="alias of nothing"),
        pytest.param(b"%YAML 9.9\n---\n", id="YAML of the future"),
        pytest.param(b"listen: 'a\n", id="quote"),
        pytest.param(b"\x7fELF\x02\x01\x01" + bytes(100), id="program"),
        pytest.param(b"listen: " + b"[" * 10_000, id="deep list"),
        pytest.param(b"{a: " * 10_000, id="deep mapping"),
        pytest.param(b"- " * 10_000, id="deep block"),
        pytest.param(b'listen: "\\U00110000"\n', id="no character"),
        pytest.param(b'listen: "\\UFFFFFFFF"\n', id="no character of the platform"),
        pytest.param(b"%YAML 1." + b"9" * 5000 + b"\n---\n", id="YAML of the far future"),
    ],
)
def test_what_is_no_yaml_is_one_problem_with_its_line(file: Path, content: bytes) -> None:
    (problem,) = problems(file, content)
    assert "is not valid YAML: " in problem or "is nested too deep" in problem
    assert re.match(r":[0-9]+: ", problem)


@pytest.mark.parametrize("content", [b"\n\nlisten: \xff\n", b"\n\nlisten: \x00\n", b'\n\nlisten: "\\U00110000"\n'])
def test_the_line_is_that_of_the_fault(file: Path, content: bytes) -> None:
    assert problems(file, content)[0].startswith(":3: ")


@pytest.mark.parametrize("character", ["\\ud800", "\\x9b", "\\u2028"])
def test_a_url_fits_in_the_files_that_have_it(file: Path, character: str) -> None:
    (problem,) = problems(file, f'publish: {{prometheus_url: "http://{character}"}}\n')
    assert "expected a URL" in problem


@pytest.mark.parametrize(
    "text", ['"a\\nb": 1\n', '"\\e[31mred": 1\n', '? "a\\nb\\nc"\n: 1\n', "? [a, b]\n: 1\n", "? {}\n: 1"]
)
def test_a_strange_key_is_told_in_one_line(file: Path, text: str) -> None:
    (problem,) = problems(file, text)
    assert problem.startswith(":1: ")
    assert problem.isprintable()


def test_python_tags_run_nothing(file: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    told = problems(file, f'listen:\n  address: !!python/object/apply:os.system ["touch {witness}"]\n')
    assert told[0].startswith(":2: listen.address: ")
    assert not witness.exists()


def check(file: Path, *, memory: int = 1 << 30) -> subprocess.CompletedProcess[str]:
    """Check a file that may be an attack, in a process that may not take much: one that takes more is killed."""
    prlimit = need_command("prlimit", "util-linux")
    command = [prlimit, f"--as={memory}", f"--cpu={CPU_SECONDS}", str(PROGRAM), "check", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in result.stderr
    return result


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize("place", ["listen: *a8\n", "listen:\n  port: *a8\n", "*a8 : 1\n", "listen:\n  *a8 : 1\n"])
def test_exploding_aliases_do_not_explode(file: Path, place: str) -> None:
    file.write_text(LAUGHS + place)
    result = check(file)
    assert result.returncode == 2
    assert f"{file}:1: a0: unknown key" in result.stderr


def test_any_file_that_is_not_too_large_is_judged_quickly(file: Path) -> None:
    file.write_text("x: [" + "a," * (MAX_BYTES // 2 - 100) + "]\n")
    assert check(file).returncode == 2


def test_a_file_of_100_megabytes_is_not_read(file: Path) -> None:
    with file.open("wb") as handle:
        handle.truncate(100 << 20)
    with pytest.raises(ConfigError, match="is larger than"):
        load(file)


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "missing", "dangling", "loop"])
def test_what_is_no_file_is_one_problem(file: Path, kind: str) -> None:
    make: dict[str, Callable[[], object]] = {
        "directory": file.mkdir,
        "fifo": lambda: os.mkfifo(file),
        "device": lambda: file.symlink_to("/dev/zero"),
        "missing": lambda: None,
        "dangling": lambda: file.symlink_to("nowhere"),
        "loop": lambda: file.symlink_to(file),
    }
    make[kind]()
    with pytest.raises(ConfigError) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}: ")
    assert "permissions" not in problem  # which have nothing to do with it


def test_a_link_to_a_file_is_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("listen: {port: 1}")
    file.symlink_to("real")
    assert load(file).listen_port == 1


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(file: Path) -> None:
    text = "listen: {port: 1, address: h}\n"
    assert read(file, text, {"listen_port": 2}) == Config(listen_port=2, listen_address="h")
    assert load(None, {"listen_port": 3}) == Config(listen_port=3)
    assert load(None) == Config()


def test_a_contradiction_has_its_place(file: Path) -> None:
    told = problems(file, "collect:\n  interval: 1s\n  timeout: 2s\n")
    assert told == [":3: collect.timeout: 2s is longer than collect.interval; expected at most 1s"]


@pytest.mark.parametrize("text", ["collect: {interval: 1s}\n", "collect: {timeout: 20s}\n", sample()])
def test_a_default_contradicts_nothing(file: Path, text: str) -> None:
    read(file, text)


def test_an_interval_from_the_command_line_wins_over_the_shipped_file(file: Path) -> None:
    assert read(file, sample(), {"collect_interval": 1.0}).collect_interval == 1.0


def test_the_sample_says_what_holds_without_it(file: Path) -> None:
    assert read(file, sample()) == Config()


def test_the_sample_has_every_key_and_describes_it() -> None:
    document = yaml.safe_load(sample())
    assert {(section, key) for section in document for key in document[section]} == {
        (setting.section, setting.key) for setting in SETTINGS
    }
    for setting in SETTINGS:
        assert setting.description in sample()
    assert set(document) == set(SECTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "collect: {interval: 1s}",
        "collect: {timeout: 20s}",
        "collect: {interval: 0.55h}",
        "collect: {interval: 60.00001}",
        "idle: {grace: 4h}",
        "alerts: {idle_after: 5m}",
        "ledger: {hourly_retention: 401d}",
        "ledger: {retention: 30d}",
        "notify: {repeat_interval: 30m}",
        "notify: {group_interval: 1d, webhook_url: 'http://h'}",
        'listen: {address: "::"}',
        'listen: {address: "::1", port: 0}',
        'listen: {address: "null"}',
        'listen: {address: "-"}',
        'listen: {address: "%"}',
        'publish: {directory: "/a #b"}',
        'publish: {directory: "/a: b"}',
        'publish: {directory: "/it\'s"}',
        'publish: {directory: "/ü"}',
        'publish: {prometheus_url: "http://h:9090/#a"}',
        'publish: {prometheus_url: "http://h:"}',
        "publish: {enabled: no}",
        "publish: {targets: [gpu1:8000, '[::1]:8000', '/a b$\".yml']}",
        "scrape: {username: '\"ü $# ', password_file: '/p #'}",
        "genv: {state_directory: /srv/genv}",
        "logging: {level: ERROR}",
    ],
)
def test_the_effective_configuration_is_accepted_again(file: Path, text: str) -> None:
    config = read(file, text)
    again = read(file, as_yaml(config))
    assert again.collect_interval == pytest.approx(config.collect_interval, rel=1e-3)
    assert dataclasses.replace(again, collect_interval=config.collect_interval) == config


@pytest.mark.parametrize("name", ["\\ud800", "a\\nb: c", "a\\eb"])
def test_a_value_that_is_no_plain_text_is_refused_or_shown(file: Path, name: str) -> None:
    try:
        config = read(file, f'publish: {{directory: "/{name}"}}')
    except ConfigError:
        return
    file.write_bytes(as_yaml(config).encode())
    assert load(file) == config


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_the_command_line_takes_what_is_shown(setting: Any) -> None:
    shown = setting.kind.show(setting.default)
    assert parse_option(setting.field, "" if shown == '""' else shown) == setting.default


# --- JSON Schema ---------------------------------------------------------------------------------------------


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Tell whether a scalar fits a schema, as far as this project's schemas go."""
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if schema["type"] == "array":
        return isinstance(value, list) and all(fits(each, schema["items"]) for each in value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if schema["type"] in ("integer", "number"):
        right = isinstance(value, int) or schema["type"] == "number"
        return number and right and schema["minimum"] <= value <= schema["maximum"]
    if schema["type"] == "boolean":
        return isinstance(value, bool)
    assert schema["type"] == "string"
    return isinstance(value, str) and bool(re.search(schema.get("pattern", ""), value, re.ASCII))


def test_the_schema_has_exactly_the_keys() -> None:
    sections = json_schema()["properties"]
    assert list(sections) == list(SECTIONS)
    assert {(section, key) for section in sections for key in sections[section]["properties"]} == {
        (setting.section, setting.key) for setting in SETTINGS
    }
    assert json_schema()["additionalProperties"] is False
    assert all(section["additionalProperties"] is False for section in sections.values())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_the_default_fits_its_schema(setting: Any) -> None:
    schema = json_schema()["properties"][setting.section]["properties"][setting.key]
    assert fits(schema["default"], schema)
    assert fits(yaml.safe_load(sample())[setting.section][setting.key], schema)


VALUES = ["", "0", "1", "-1", "0.1", "2.5", "65536", "1e9", "3601", "10s", "1m30s", "500ms", "1x", "/a", "a/b", "::1"]
WORDS = ["yes", "false", "maybe", "info", "loud", "http://h:1", "http://a b", "h.example", "a b", "nan", ".inf"]


@pytest.mark.parametrize("text", VALUES + WORDS)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.field)
def test_schema_and_program_agree(file: Path, setting: Any, text: str) -> None:
    written = f"{setting.section}:\n  {setting.key}: {text or repr(text)}\n"
    value = yaml.safe_load(written)[setting.section][setting.key]
    schema = json_schema()["properties"][setting.section]["properties"][setting.key]
    companion = COMPANIONS.get(setting.field) if text else None
    file.write_text(written + (f"  {companion}\n" if companion else ""))
    try:
        load(file)
        accepted = True
    except ConfigError:
        accepted = False
    if fits(value, schema) == accepted:
        return
    generous = accepted and schema.get("type") == "string" and not isinstance(value, str)  # a number as text
    beyond = not accepted and "anyOf" in schema and isinstance(value, str)  # no pattern tells a range of durations
    assert generous or beyond


def test_whoever_looks_for_a_key_finds_what_goes_by_it() -> None:
    package = Path(genvd.__file__).parent
    sources = [path.read_text() for path in package.rglob("*.py") if path.parent != package or path.name != "config.py"]
    sources += [path.read_text() for path in package.rglob("*.yml")]
    # A group of metrics is looked for by its name, which the key is; a time of an alert as it is written in the rules.
    special = {"metrics": '"{}": ', "alerts": r"# alerts\.{}\b"}
    wanted = {one.key: special.get(one.section, rf"\.{one.field}\b").format(one.key) for one in SETTINGS}
    assert [key for key, pattern in wanted.items() if not any(re.search(pattern, text) for text in sources)] == []
