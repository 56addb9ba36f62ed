"""The Grafana dashboards as code: `python -m tools.dashboards` writes the JSON that the package publishes.

From the question to the file: promql (how an expression is put together), expressions (what is asked of
the metrics), panels and tables (how an answer is drawn), frame (what all dashboards have in common), one file
for each dashboard, catalogue (which there are), output (how they become files).

The Grafana SDK needs Python 3.11 while this code base is type-checked as 3.10, where members of the SDK's
enumerations are of type str and its builders' methods return Any. Hence `Enumeration("value")` rather than
`Enumeration.MEMBER`, and builders that are told one thing after another rather than in a chain.
"""
