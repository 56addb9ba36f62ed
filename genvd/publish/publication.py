"""The published files: their content for a configuration, and writing them."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.output import CommandError
from genvd.common.safe_tree import UnsafePathError, write_file
from genvd.config.loader import ConfigError
from genvd.config.notify_files import read_notify_files
from genvd.config.paths import SERVICE_METRICS, publish_directory, state_directory
from genvd.config.schema import DEFAULT_PROMETHEUS_URL, Config
from genvd.publish import alertmanager
from genvd.publish.alert_times import with_times
from genvd.publish.scrape_config import scrape_job
from genvd.publish.service_directory import is_package_link

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FILES = Path(__file__).parent / "files"

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

_RULES = "genv-*.yml"

_VERBATIM = ("grafana/dashboards/*.json", f"{alertmanager.DIRECTORY}/templates/*.tmpl")
"""Files that are published as they are: their dollar signs are variables of dashboards and of templates."""


class PublishError(CommandError):
    """A file could not be published."""


class Publication(NamedTuple):
    """The Prometheus, Alertmanager and Grafana files for one configuration."""

    directory: Path
    """Where the files are written; an absolute path."""
    values: dict[str, str]
    """The values for the names in the templates."""
    config: Config = Config()
    """For the times in the alert rules, and for who is told about alerts."""
    made: Mapping[str, str] = MappingProxyType({})
    """The content of the files that have no template, by path."""
    world_writable: Path | None = None
    """A parent directory that is created writable for everybody: genv's own state directory, which genv creates so."""

    @classmethod
    def create(
        cls,
        directory: Path,
        job: str,
        prometheus_url: str = DEFAULT_PROMETHEUS_URL,
        world_writable: Path | None = None,
        config: Config | None = None,
    ) -> Publication:
        """Return the files for these settings.

        Args:
            directory: where to write them.
            job: the lines of the scrape job below its name; see :mod:`genvd.publish.scrape_config`.
            prometheus_url: where Grafana reaches Prometheus.
            world_writable: see :attr:`world_writable`.
            config: see :attr:`config`; None for the defaults.

        Raises:
            PublishError: the name of the directory is not possible, or a file of the section ``notify`` is not usable.
        """
        directory = directory.absolute()
        _check_name(directory)
        config = config or Config()
        try:
            made = alertmanager.notify_files(config, read_notify_files(config))
        except ConfigError as error:
            raise PublishError(error.problems[0]) from None
        values = _template_values(directory, job, prometheus_url, config)
        return cls(directory, values, config, made, world_writable)

    def files(self) -> tuple[Path, ...]:
        """Return the paths of the files, relative to :attr:`directory`."""
        return (*published_files(), *map(Path, alertmanager.static_files(self.config)), *map(Path, self.made))

    def content(self, relative: Path) -> bytes:
        """Return the content of one of :meth:`files`."""
        if (made := self.made.get(str(relative))) is not None:
            return made.encode()
        text = (_FILES / relative).read_text(encoding="utf-8")
        if relative.match(_RULES):
            text = with_times(text, self.config)
        elif not any(map(relative.match, _VERBATIM)):
            text = Template(text).substitute(self.values)
        return text.encode()

    def write(self) -> None:
        """Write the files, and create the directory if it is missing.

        Raises:
            PublishError: a file could not be written. The others are written nevertheless.
        """
        if is_package_link(self.directory):
            raise PublishError(
                f"cannot publish in {self.directory}: it is the link of the package to {SERVICE_METRICS}, where the"
                " service publishes; choose another directory with --config-dir or publish.directory"
            )
        problems = [problem for relative in self.files() if (problem := self._write(relative))]
        if problems:
            raise PublishError(problems[0])

    def _write(self, relative: Path) -> str | None:
        """Write one file; return the problem in one line, or None."""
        try:
            write_file(self.directory, relative, self.content(relative), self.world_writable)
        except UnsafePathError as error:
            return f"cannot publish {error} with --config-dir or publish.directory"
        except OSError as error:
            way_out = "free some space" if error.errno in _NO_SPACE else "make it writable"
            return (
                f"cannot publish {error.filename or self.directory / relative}: {error.strerror};"
                f" {way_out} or choose another directory with --config-dir or publish.directory"
            )
        return None


def publication_for(config: Config, port: int, target: str | None = None) -> Publication:
    """Return the files for a configuration.

    Args:
        config: the configuration.
        port: the port that this monitor serves on.
        target: ``host:port`` of this monitor; None for the one in the configuration.

    Raises:
        PublishError: the name of the directory is not possible, or a file of the section ``notify`` is not usable.
    """
    job = scrape_job(config, port, target)
    shared = state_directory(config).resolve()
    return Publication.create(publish_directory(config), job, config.publish_prometheus_url, shared, config)


def published_files() -> Iterator[Path]:
    """Return the paths of the files that every configuration publishes, relative to the directory."""
    paths = (path.relative_to(_FILES) for path in sorted(_FILES.rglob("*")) if path.is_file())
    return (path for path in paths if str(path) not in (alertmanager.RULES, alertmanager.TEMPLATES))


def _template_values(directory: Path, job: str, prometheus_url: str, config: Config) -> dict[str, str]:
    grafana = directory / "grafana"
    return {
        "job": job,
        "alerting": alertmanager.alerting_section(config),
        "rules": _rule_files(directory / "prometheus", config),
        "provisioning": _quote_ini(str(grafana / "provisioning")),
        "home_dashboard": _quote_ini(str(grafana / "dashboards" / "overview.json")),
        "dashboards": _quote_provisioning(str(grafana / "dashboards")),
        "prometheus_url": _quote_provisioning(prometheus_url),
    }


def _check_name(directory: Path) -> None:
    name = str(directory)
    if not name.isprintable() or "${" in name or "$__" in name:
        raise PublishError(
            f"cannot publish in {name!r}: Prometheus and Grafana do not support a path with such characters;"
            " choose another directory with --config-dir or publish.directory"
        )


def _rule_files(prometheus: Path, config: Config) -> str:
    """Return the patterns of the rule files, separated by commas.

    They are relative to prometheus.yml, so that all can be copied elsewhere together. Prometheus puts the directory of
    prometheus.yml in front of them and matches the result. If that directory has special characters, the patterns are
    therefore absolute, and escape them; an asterisk cannot be escaped and becomes a question mark.
    (https://pkg.go.dev/path/filepath#Match; config.go of Prometheus, patRulePath)
    """
    name, beginning = str(prometheus), ""
    if any(character in name for character in "*?[\\"):
        beginning = re.sub(r"[?\[\\]", r"\\\g<0>", name).replace("*", "?") + "/"
    patterns = ["rules/*.yml", *([Path(alertmanager.RULES).name] if alertmanager.escalates(config) else [])]
    return ", ".join(json.dumps(beginning + pattern, ensure_ascii=False) for pattern in patterns)


def _quote_ini(value: str) -> str:
    """Return a value for grafana.ini, quoted if a part of it would be read as a comment."""
    return f"`{value}`" if "#" in value or ";" in value else value


def _quote_provisioning(value: str) -> str:
    """Return a value for Grafana's provisioning files: quoted for YAML, with its dollar signs escaped."""
    return json.dumps(value.replace("$", "$$"), ensure_ascii=False)
