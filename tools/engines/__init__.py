"""Tries the dashboards and rules on other engines than one Prometheus: on VictoriaMetrics, and by federation.

``stage`` starts the machines and the servers, ``answers`` asks and compares, ``known`` says where engines may differ,
``evaluated`` compares what Prometheus and vmalert make of the rules, ``federation`` has a Prometheus that federates,
``cost`` measures what the engines need.
"""
