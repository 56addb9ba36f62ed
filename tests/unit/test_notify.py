"""The section ``notify``: what is accepted, and what is published for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from genvd.config.loader import ConfigError, load
from genvd.config.notify_files import PARTS, TEXTS, read_notify_files
from genvd.config.schema import Config
from genvd.publish.publication import Publication

MAIL = "notify: {smarthost: 'mail:25', from: a@example.org, admins: [b@example.org]"


def read(directory: Path, text: str) -> Config:
    file = directory / "monitor.yaml"
    file.write_text(text)
    return load(file)


def problem(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, text)
    return "\n".join(caught.value.problems).replace(f"{directory}/monitor.yaml", "")


# --- Values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'{{username}}@example.org'", "{{username}}@example.org"),
        ("'{{ username }}@example.org'", "{{username}}@example.org"),
        ("'gpu.{{username}}+idle@example.org'", "gpu.{{username}}+idle@example.org"),
        ("/etc/genv/addresses", Path("/etc/genv/addresses")),
    ],
)
def test_the_address_of_a_user(tmp_path: Path, written: str, value: str | Path) -> None:
    assert read(tmp_path, f"{MAIL}, user_address: {written}}}").notify_user_address == value


@pytest.mark.parametrize(
    "written",
    [
        "alice@example.org",
        "'{{username}}'",
        "'{{username}}@'",
        "'{{username}}{{username}}@example.org'",
        "'{{.username}}@example.org'",
        "'{{username}}@{{username}}.org'",
        "'a b{{username}}@example.org'",
        "'{{username}}@example.org, x@example.org'",
        "'{{username}}..a@example.org'",
        "'{{ template \"x\" }}{{username}}@example.org'",
        "addresses.txt",
    ],
)
def test_what_is_no_address_of_a_user(tmp_path: Path, written: str) -> None:
    assert "expected an address with {{username}}" in problem(tmp_path, f"{MAIL}, user_address: {written}}}")


@pytest.mark.parametrize(
    "address", ["a", "a@", "@a", "a@b,c@d", "A <a@b>", "a@b\n", "a b@c", "{{.x}}@b", "a@-b", "a..b@c", "'\"a\"@b'"]
)
def test_what_is_no_address(tmp_path: Path, address: str) -> None:
    text = yaml.safe_dump({"notify": {"admins": [address]}})
    assert f"notify.admins: {address!r} is wrong; expected a mail address" in problem(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("notify: {from: a@b}", "notify.from: has no effect alone; expected notify.smarthost too"),
        ("notify: {admins: a@b}", "notify.admins: has no effect alone; expected notify.smarthost too"),
        ("notify: {smarthost: 'm:25', admins: a@b}", "notify.smarthost: needs a sender; expected notify.from too"),
        ("notify: {smarthost: 'm:25', from: a@b}", "notify.smarthost: nobody would be told what is broken"),
        (
            f"{MAIL}, auth_username: x}}",
            "notify.auth_username: has no effect alone; expected notify.auth_password_file",
        ),
        ("notify: {webhook_url: 'http://h', webhook_url_file: /x}", "notify.webhook_url_file: cannot be combined"),
        ("notify: {webhook_url: 'http://u:p@h/x'}", "notify.webhook_url: 'http://u:p@h/x' is wrong; expected a URL"),
        (f"{MAIL}, alertmanagers: []}}", "notify.alertmanagers: is empty, so nobody would be told"),
        ("notify: {webhook_credentials_file: /x}", "notify.webhook_credentials_file: has no effect alone"),
        (f"{MAIL}, group_interval: 2h, repeat_interval: 1h}}", "notify.group_interval: 2h is longer than"),
        (f"{MAIL}}}\npublish: {{enabled: false}}", "publish.enabled: false publishes no messages either"),
        (f"{MAIL}, contact: '{{{{ .x }}}}'}}", "notify.contact: '{{ .x }}' is wrong"),
        ("notify: {smarthost: mail.example.org}", "notify.smarthost: 'mail.example.org' is wrong; expected host:port"),
    ],
)
def test_what_conflicts(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, text)


# --- Files ---------------------------------------------------------------------------------------------------


def test_addresses_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "addresses"
    file.write_text("\ufeff# people\n\nalice: a.smith@example.org\n  EX\\bob :bob@example.org  \nc:d: c@example.org\n")
    config = read(tmp_path, f"{MAIL}, user_address: {file}}}")
    assert read_notify_files(config).addresses == {
        "alice": "a.smith@example.org",
        "EX\\bob": "bob@example.org",
        "c:d": "c@example.org",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"alice\n", ":1: has no name of a user; expected a line such as alice: alice@example.org"),
        (b"# x\nalice: nobody\n", ":2: alice: 'nobody' is no mail address"),
        (b"alice: a@b, c@d\n", ":1: alice: 'a@b, c@d' is no mail address"),
        (b"alice: {{.x}}@b\n", ":1: alice: '{{.x}}@b' is no mail address"),
        (b"a: a@b\na: c@d\n", ":2: a: is there twice; expected each user once"),
        (b"- alice: a@b\n", ":1: - alice: no user name begins so; expected a line such as alice"),
        (b"a\x1b[2J: x\n", ":1: has no name of a user"),
        (b"\xff: a@b\n", ": is not UTF-8 text; expected a file with lines such as alice"),
        (b"# nobody\n", ": has no user; expected lines such as alice"),
        (None, ": cannot be read: No such file or directory; expected a file with lines such as alice"),
    ],
)
def test_problems_of_a_file_with_addresses(tmp_path: Path, content: bytes | None, expected: str) -> None:
    file = tmp_path / "addresses"
    if content is not None:
        file.write_bytes(content)
    config = read(tmp_path, f"{MAIL}, user_address: {file}}}")
    with pytest.raises(ConfigError) as caught:
        read_notify_files(config)
    assert caught.value.problems[0].startswith(f"{file}{expected}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Hello", ': defines no text; expected {{ define "NAME" }} with a NAME such as genv.user.subject'),
        ('\n{{- define "genv.user.txt" }}{{ end }}', ":2: genv.user.txt: there is no such text; did you mean"),
        (
            '{{ define "genv.page" }}\n{{ template "genv.contct" . }}{{ end }}',
            ":2: genv.contct: is used, but not defined; did you mean genv.contact?",
        ),
    ],
)
def test_problems_of_texts(tmp_path: Path, content: str, expected: str) -> None:
    file = tmp_path / "texts"
    file.write_text(content)
    config = read(tmp_path, f"{MAIL}, texts_file: {file}}}")
    with pytest.raises(ConfigError) as caught:
        read_notify_files(config)
    assert caught.value.problems[0].startswith(f"{file}{expected}")


def test_texts_may_use_all_templates_that_are_published(tmp_path: Path) -> None:
    published(tmp_path, f"{MAIL}}}")
    files = (tmp_path / "p/alertmanager/templates").iterdir()
    defined = [name for file in files for name in re.findall(r'{{ define "(.*?)" }}', file.read_text())]
    assert sorted(defined) == sorted((*TEXTS, *PARTS))


def test_texts_may_use_their_own_and_those_of_alertmanager(tmp_path: Path) -> None:
    file = tmp_path / "texts"
    used = "".join(f'{{{{ template "{name}" . }}}}' for name in ("ours", "__subject", "email.default.subject", *PARTS))
    file.write_text(f'{{{{ define "genv.user.subject" }}}}{used}{{{{ end }}}}{{{{ define "ours" }}}}{{{{ end }}}}')
    assert read_notify_files(read(tmp_path, f"{MAIL}, texts_file: {file}}}")).texts == file.read_text()


# --- What is published ---------------------------------------------------------------------------------------


def published(directory: Path, text: str) -> set[str]:
    Publication.create(directory / "p", "", config=read(directory, text)).write()
    return {str(path.relative_to(directory / "p")) for path in (directory / "p").rglob("*.*")}


def rule_files(directory: Path) -> list[str]:
    found: list[str] = yaml.safe_load((directory / "p/prometheus/prometheus.yml").read_text())["rule_files"]
    return found


def test_nothing_of_alertmanager_is_published_without_a_receiver(tmp_path: Path) -> None:
    files = published(tmp_path, "notify: {}")
    assert not any(name.startswith("alertmanager") or name.endswith("-notify.yml") for name in files)
    assert "alerting" not in yaml.safe_load((tmp_path / "p/prometheus/prometheus.yml").read_text())


def test_without_addresses_of_users_the_administrators_get_everything(tmp_path: Path) -> None:
    files = published(tmp_path, "notify: {slack_url_file: /x}")
    assert "prometheus/genv-alerts-notify.yml" not in files
    content = yaml.safe_load((tmp_path / "p/alertmanager/alertmanager.yml").read_text())
    assert [receiver["name"] for receiver in content["receivers"]] == ["admins"]
    assert {route["receiver"] for route in content["route"]["routes"]} == {"admins"}
    assert "global" not in content


def test_escalation_can_be_switched_off(tmp_path: Path) -> None:
    users = "user_address: '{{username}}@example.org'"
    published(tmp_path, f"{MAIL}, {users}, escalate_after: 3d}}")
    assert rule_files(tmp_path) == ["rules/*.yml", "genv-alerts-notify.yml"]
    assert "for: 3d  # notify" in (tmp_path / "p/prometheus/genv-alerts-notify.yml").read_text()
    published(tmp_path, f"{MAIL}, {users}, escalate_after: 0s}}")
    assert rule_files(tmp_path) == ["rules/*.yml"], "Prometheus no longer reads the file that is still there"
    assert "are told too" not in (tmp_path / "p/alertmanager/templates/settings.tmpl").read_text()


def test_prometheus_logs_in_at_alertmanager(tmp_path: Path) -> None:
    at = "alertmanagers: ['a:1', 'b:2', /f.json], alertmanager_username: 'x\"y', alertmanager_password_file: /p"
    published(tmp_path, f"{MAIL}, {at}}}")
    (found,) = yaml.safe_load((tmp_path / "p/prometheus/prometheus.yml").read_text())["alerting"]["alertmanagers"]
    assert found == {
        "static_configs": [{"targets": ["a:1", "b:2"]}],
        "file_sd_configs": [{"files": ["/f.json"]}],
        "basic_auth": {"username": 'x"y', "password_file": "/p"},
    }


def test_an_interval_is_never_longer_than_the_repetition(tmp_path: Path) -> None:
    published(tmp_path, f"{MAIL}, repeat_interval: 10m}}")
    route = yaml.safe_load((tmp_path / "p/alertmanager/alertmanager.yml").read_text())["route"]
    assert (route["routes"][-1]["group_interval"], route["repeat_interval"]) == ("10m", "10m")
