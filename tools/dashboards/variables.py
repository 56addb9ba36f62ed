"""The variables of the dashboards. A name means the same on all of them, so links can pass values."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards.promql import OF_JOBS, SELECTED, THE_ONE

DATA_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The chosen data source."""

Variable = Builder[models.VariableModel]

_NUMBERS = ("device", "eid", "pid")
_BY_NUMBER = models.VariableSort.NUMERICAL_ASC


def data_source() -> Variable:
    """Return the variable for the Prometheus: by default that of the published provisioning file."""
    variable = builders.DatasourceVariable("datasource")
    variable.label("Data source")
    variable.description("The Prometheus that scrapes the machines.")
    variable.type("prometheus")
    variable.current(models.VariableOption(selected=True, text="Prometheus", value="genv-prometheus"))
    return variable


def jobs() -> Variable:
    """Return the variable for the jobs that scrape monitors: any number, by default all.

    It has no value for all: the names of all are put into the queries, so that other jobs are left out.
    """
    variable = _query("job", "Job", "The jobs of Prometheus that scrape the machines.", "genv_is_installed")
    return _by_default_all(variable)


def machines() -> Variable:
    """Return the variable for machines: any number, by default all."""
    return _several("instance", "Machine", "The machines to show.", f"genv_is_installed{{{OF_JOBS}}}")


def machine() -> Variable:
    """Return the variable for one machine, by default the first."""
    return _query("instance", "Machine", "The machine to show.", f"genv_is_installed{{{OF_JOBS}}}")


def devices_of_the_machine() -> Variable:
    """Return the variable for GPUs of the chosen machine."""
    return _several("device", "GPU", "The GPUs to show.", f"genv_device_up{{{THE_ONE}}}", of="index")


def users() -> Variable:
    """Return the variable for users, including those with past usage only."""
    names = "genv_user_(used_gpu_memory_bytes|allocated_device_seconds_total|environments_total)"
    return _several("username", "User", "The users to show.", f'{{__name__=~"{names}", {SELECTED}}}')


def environments() -> Variable:
    """Return the variable for environments of the chosen users."""
    metric = f'genv_environment_info{{{SELECTED}, username=~"$username"}}'
    return _several("eid", "Environment", "The environments to show, by their IDs.", metric)


def devices() -> Variable:
    """Return the variable for GPUs that processes use."""
    metric = f"genv_process_used_gpu_memory_bytes{{{SELECTED}}}"
    return _several("device", "GPU", "The GPUs to show.", metric)


def processes() -> Variable:
    """Return the variable for processes of the chosen users and environments."""
    metric = f'genv_process_info{{{SELECTED}, username=~"$username", eid=~"$eid"}}'
    return _several("pid", "PID", "The processes to show.", metric)


def _several(name: str, label: str, description: str, metric: str, of: str = "") -> Variable:
    variable = _by_default_all(_query(name, label, description, metric, of))
    variable.all_value(".*")
    return variable


def _by_default_all(variable: builders.QueryVariable) -> builders.QueryVariable:
    """Let any number of values be chosen, by default all."""
    variable.multi(True)
    variable.include_all(True)
    variable.current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return variable


def _query(name: str, label: str, description: str, metric: str, of: str = "") -> builders.QueryVariable:
    """Return a variable with the values of a label of a metric; refreshed when the time range changes.

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
