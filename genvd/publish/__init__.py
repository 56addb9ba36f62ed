"""The Prometheus and Grafana configuration that goes with the metrics, and what writes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from genvd.common.safe_tree import UnsafePathError, write_file
from genvd.config.paths import publish_directory, state_directory
from genvd.config.schema import DEFAULT_PROMETHEUS_URL
from genvd.publish.scraping import scrape_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.config.schema import Config

_FILES = Path(__file__).parent / "files"

_VERBATIM = ("grafana/dashboards/*.json", "prometheus/rules/*.yml")
"""Files whose dollar signs are their own: variables of dashboards, templates of alerts."""


class PublishError(Exception):
    """A file could not be published. The text is one line: the thing, the reason, the way out."""


@dataclass(frozen=True, slots=True)
class Publication:
    """The Prometheus and Grafana files of one configuration."""

    directory: Path
    """Where they are to be."""
    values: dict[str, str]
    """What stands in them for the names in the templates."""
    world_writable: Path | None = None
    """A directory on the way that everybody must be able to write if it is made: genv's own, which genv makes so."""

    def content(self, relative: Path) -> bytes:
        """Return the content of one of :func:`published_files`."""
        text = (_FILES / relative).read_text(encoding="utf-8")
        if not any(map(relative.match, _VERBATIM)):
            text = Template(text).substitute(self.values)
        return text.encode()

    def write(self) -> None:
        """Write the files; the directory is made if it is missing.

        Raises:
            PublishError: a file could not be written; all that could be are.
        """
        problems = [problem for relative in published_files() if (problem := self._write(relative))]
        if problems:
            raise PublishError(problems[0])

    def _write(self, relative: Path) -> str | None:
        """Write one of the files; return in one line what kept it from being written, None if nothing did."""
        try:
            write_file(self.directory, relative, self.content(relative), self.world_writable)
        except UnsafePathError as error:
            return f"cannot publish {error} with --config-dir or publish.directory"
        except OSError as error:
            return (
                f"cannot publish {error.filename or self.directory / relative}: {error.strerror};"
                " make it writable or choose another directory with --config-dir or publish.directory"
            )
        return None


def publish_as_configured(config: Config, port: int, target: str | None = None) -> Path:
    """Write the Prometheus and Grafana files as the configuration says; return the directory.

    Args:
        config: what to publish, and where.
        port: the port that is served.
        target: ``host:port`` where it is served; None for what the configuration says.

    Raises:
        PublishError: a file could not be written.
    """
    publication = publication_for(config, port, target)
    publication.write()
    return publication.directory


def publication_for(config: Config, port: int, target: str | None = None) -> Publication:
    """Return the files that the configuration says; see :func:`publish_as_configured`.

    Raises:
        PublishError: they cannot be where it says.
    """
    shared = state_directory(config).resolve()
    job = scrape_job(config, port, target)
    return _publication(publish_directory(config), job, config.publish_prometheus_url, shared)


def publish(
    directory: Path,
    job: str,
    prometheus_url: str = DEFAULT_PROMETHEUS_URL,
    *,
    world_writable: Path | None = None,
) -> None:
    """Write the Prometheus and Grafana files.

    Args:
        directory: where to; made if it is missing.
        job: the lines of the scrape configuration below its name; see :mod:`genvd.publish.scraping`.
        prometheus_url: where Grafana reaches Prometheus.
        world_writable: see :class:`Publication`.

    Raises:
        PublishError: a file could not be written; all that could be are.
    """
    _publication(directory, job, prometheus_url, world_writable).write()


def _publication(directory: Path, job: str, prometheus_url: str, world_writable: Path | None) -> Publication:
    directory = directory.absolute()
    _check_name(directory)
    return Publication(directory, _values(directory, job, prometheus_url), world_writable)


def published_files() -> Iterator[Path]:
    """Return the paths of the files, relative to the directory in which they are published."""
    return (path.relative_to(_FILES) for path in sorted(_FILES.rglob("*")) if path.is_file())


def _values(directory: Path, job: str, prometheus_url: str) -> dict[str, str]:
    grafana = directory / "grafana"
    return {
        "job": job,
        "rules": _rules(directory / "prometheus"),
        "provisioning": _ini(str(grafana / "provisioning")),
        "home_dashboard": _ini(str(grafana / "dashboards" / "overview.json")),
        "dashboards": _provisioned(str(grafana / "dashboards")),
        "prometheus_url": _provisioned(prometheus_url),
    }


def _check_name(directory: Path) -> None:
    name = str(directory)
    if not name.isprintable() or "${" in name or "$__" in name:
        raise PublishError(
            f"cannot publish in {name!r}: Prometheus and Grafana cannot be told of a path with such characters;"
            " choose another directory with --config-dir or publish.directory"
        )


def _rules(prometheus: Path) -> str:
    """Return the pattern of the rule files: relative to prometheus.yml, so that both can be copied elsewhere together.

    Prometheus takes the directory of prometheus.yml for a part of the pattern. So where that name would be more than a
    name there, it is written out with what is special escaped; but an asterisk, which may not be in it even so, becomes
    any one character. (https://pkg.go.dev/path/filepath#Match; config.go of Prometheus, patRulePath)
    """
    name = str(prometheus)
    if not any(character in name for character in "*?[\\"):
        return json.dumps("rules/*.yml")
    escaped = re.sub(r"[?\[\\]", r"\\\g<0>", name).replace("*", "?")
    return json.dumps(f"{escaped}/rules/*.yml", ensure_ascii=False)


def _ini(value: str) -> str:
    """Return a value for grafana.ini, quoted where it would end at the beginning of a comment."""
    return f"`{value}`" if "#" in value or ";" in value else value


def _provisioned(value: str) -> str:
    """Return a value for Grafana's provisioning files: quoted for YAML, its dollar signs not taken for variables."""
    return json.dumps(value.replace("$", "$$"), ensure_ascii=False)
