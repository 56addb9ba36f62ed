"""Writes the Prometheus and Grafana configuration that belongs to the metrics. The templates are in ``files/``."""
