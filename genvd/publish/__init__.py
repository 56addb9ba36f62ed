"""Writes the files for Prometheus, Alertmanager and Grafana that belong to the metrics. They begin in ``files/``."""
