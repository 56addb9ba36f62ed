"""The scrape job in the published prometheus.yml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from genvd.config.loader import load
from genvd.config.schema import Config
from genvd.publish.publication import publication_for

CERTIFICATES = {"ca_file": "/p/ca.pem", "cert_file": "/p/c.pem", "key_file": "/p/c.key"}


def published(directory: Path, config: Config) -> str:
    """Return the published prometheus.yml."""
    overrides = {"publish_directory": directory / "published"}
    settings = {name: getattr(config, name) for name in config.__slots__} | overrides
    publication_for(load(None, settings), 8000).write()
    return (directory / "published/prometheus/prometheus.yml").read_text()


def job(directory: Path, config: Config) -> dict[str, Any]:
    """Return the published scrape job without its name."""
    (found,) = yaml.safe_load(published(directory, config))["scrape_configs"]
    assert found.pop("job_name") == "genv"
    relabelled = found.pop("relabel_configs", None)
    assert bool(relabelled) == bool(config.publish_targets), "one machine needs no other label"
    assert isinstance(found, dict)
    return found


def web_config(directory: Path, text: str) -> Path:
    file = directory / "web.yml"
    file.write_text(text)
    return file


def test_the_default_target_is_this_machine(tmp_path: Path) -> None:
    assert job(tmp_path, Config()) == {"static_configs": [{"targets": ["localhost:8000"]}]}


def test_targets_replace_this_machine(tmp_path: Path) -> None:
    machines = ("gpu1:8000", "[2001:db8::1]:8000", "localhost:8000")
    assert job(tmp_path, Config(publish_targets=machines)) == {"static_configs": [{"targets": list(machines)}]}


def test_files_become_file_sd_configs(tmp_path: Path) -> None:
    file = '/etc/it\'s "a" $HOME ${HOME} {{x}}: #/*.json'
    assert job(tmp_path, Config(publish_targets=(file,))) == {"file_sd_configs": [{"files": [file]}]}
    both = job(tmp_path, Config(publish_targets=(file, "gpu1:8000", "/b.yml")))
    assert both == {
        "static_configs": [{"targets": ["gpu1:8000"]}],
        "file_sd_configs": [{"files": [file, "/b.yml"]}],
    }


def test_files_with_secrets_are_named(tmp_path: Path) -> None:
    config = Config(
        scrape_ca_file=Path("/p/ca.pem"),
        scrape_server_name="gpu.example.org",
        scrape_cert_file=Path("/p/c.pem"),
        scrape_key_file=Path("/p/c.key"),
        scrape_username='the "scraper" $x: #',
        scrape_password_file=Path("/p/it's"),
    )
    found = job(tmp_path, config)
    assert found.pop("static_configs")
    assert found == {
        "scheme": "https",
        "tls_config": {**CERTIFICATES, "server_name": "gpu.example.org"},
        "basic_auth": {"username": 'the "scraper" $x: #', "password_file": "/p/it's"},
    }


def test_a_token_is_named(tmp_path: Path) -> None:
    found = job(tmp_path, Config(scrape_credentials_file=Path("/p/token")))
    assert found.pop("static_configs")
    assert found == {"authorization": {"credentials_file": "/p/token"}}


@pytest.mark.parametrize(
    ("scheme", "ca", "own", "expected"),
    [
        ("auto", None, False, None),
        ("auto", Path("/ca"), False, "https"),
        ("auto", None, True, "https"),
        ("https", None, False, "https"),
        ("http", None, True, None),
    ],
)
def test_the_scheme(tmp_path: Path, scheme: str, ca: Path | None, own: bool, expected: str | None) -> None:
    web = web_config(tmp_path, "tls_server_config: {cert_file: a.pem, key_file: a.key}") if own else None
    config = Config(scrape_scheme=scheme, scrape_ca_file=ca, listen_web_config_file=web)
    assert job(tmp_path, config).get("scheme") == expected


WANTS_ALL = """\
tls_server_config: {cert_file: a.pem, key_file: a.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: b}
basic_auth_users: {somebody: $2y$10$mGB1V7qWZmU5fS6rJX1fZeHq2E1yv1S3Rk3h2yY8o9VQmHf6n0o1S}
"""


def test_comments_name_missing_settings_of_the_web_configuration(tmp_path: Path) -> None:
    web = web_config(tmp_path, WANTS_ALL)
    text = published(tmp_path, Config(listen_web_config_file=web))
    hints = [line.strip() for line in text.splitlines()[1:] if "#" in line]
    assert hints == [
        "# tls_config:",
        "#   ca_file: the CA of the monitor's certificate",
        "#   cert_file: a certificate that the monitor trusts",
        "#   key_file: its key",
        "# basic_auth:",
        "#   username: one of the monitor's users",
        "#   password_file: its password",
    ]
    assert "$2y$" not in text and "somebody" not in text

    config = Config(
        listen_web_config_file=web,
        scrape_ca_file=Path("/p/ca.pem"),
        scrape_username="somebody",
        scrape_password_file=Path("/p/password"),
    )
    hints = [line.strip() for line in published(tmp_path, config).splitlines()[1:] if "#" in line]
    assert hints == ["#   cert_file: a certificate that the monitor trusts", "#   key_file: its key"]
    assert job(tmp_path, config)["tls_config"] == {"ca_file": "/p/ca.pem"}
