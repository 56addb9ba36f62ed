"""The Grafana dashboards as code: `python -m tools.dashboards` writes the JSON that the package publishes.

promql builds expressions; expressions and *_expressions have the queries; panels and tables draw answers; frame has
what all dashboards share; there is one file for each dashboard; output lists them and writes the files.

The Grafana SDK needs Python 3.11, but this code is type-checked as 3.10, where the members of the SDK's enumerations
are of type str and the methods of its builders return Any. Hence `Enumeration("value")` instead of
`Enumeration.MEMBER`, and one statement for each method of a builder instead of a chain.
"""
