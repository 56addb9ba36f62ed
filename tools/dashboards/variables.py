"""What can be chosen at the top of a dashboard. A name means the same everywhere, so links carry the choice over."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

DATA_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The chosen data source."""

Variable = Builder[models.VariableModel]

_NUMBERS = ("device", "eid", "pid")
_BY_NUMBER = models.VariableSort.NUMERICAL_ASC


def data_source() -> Variable:
    """Give the choice of the Prometheus; at first that of the published provisioning file, else Grafana's default."""
    variable = builders.DatasourceVariable("datasource")
    variable.label("Data source")
    variable.description("The Prometheus that scrapes the machines.")
    variable.type("prometheus")
    variable.current(models.VariableOption(selected=True, text="Prometheus", value="genv-prometheus"))
    return variable


def machines() -> Variable:
    """Give the choice of machines: any number of them, all at first."""
    return _several("instance", "Machine", "The machines to show.", "genv_is_installed")


def machine() -> Variable:
    """Give the choice of one machine, at first the first."""
    return _query("instance", "Machine", "The machine to show.", "genv_is_installed")


def devices_of_the_machine() -> Variable:
    """Give the choice of devices of the one machine."""
    return _several("device", "GPU", "The devices to show.", 'genv_device_up{instance="$instance"}', of="index")


def users() -> Variable:
    """Give the choice of users: those who hold, use or once held something."""
    names = "genv_user_(used_gpu_memory_bytes|allocated_device_seconds_total|environments_total)"
    return _several("username", "User", "The users to show.", f'{{__name__=~"{names}", instance=~"$instance"}}')


def environments() -> Variable:
    """Give the choice of environments of the chosen users."""
    metric = 'genv_environment_info{instance=~"$instance", username=~"$username"}'
    return _several("eid", "Environment", "The environments to show, by their identifiers.", metric)


def devices() -> Variable:
    """Give the choice of devices that processes use."""
    metric = 'genv_process_used_gpu_memory_bytes{instance=~"$instance"}'
    return _several("device", "GPU", "The devices to show.", metric)


def processes() -> Variable:
    """Give the choice of processes of the chosen users and environments."""
    metric = 'genv_process_info{instance=~"$instance", username=~"$username", eid=~"$eid"}'
    return _several("pid", "PID", "The processes to show.", metric)


def _several(name: str, label: str, description: str, metric: str, of: str = "") -> Variable:
    variable = _query(name, label, description, metric, of)
    variable.multi(True)
    variable.include_all(True)
    variable.all_value(".*")
    variable.current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return variable


def _query(name: str, label: str, description: str, metric: str, of: str = "") -> builders.QueryVariable:
    """Give a choice of the values that a label of a metric has, looked up anew with each time range.

    The label is called as the variable unless `of` says otherwise.
    """
    variable = builders.QueryVariable(name)
    variable.label(label)
    variable.description(description)
    variable.datasource(DATA_SOURCE)
    # The shape that Grafana's own editor saves; 1 means label values.
    query: dict[str, object] = {
        "qryType": 1,
        "query": f"label_values({metric}, {of or name})",
        "refId": "PrometheusVariableQueryEditor-VariableQuery",
    }
    variable.query(query)
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(_BY_NUMBER if name in _NUMBERS else models.VariableSort.ALPHABETICAL_ASC)
    return variable
