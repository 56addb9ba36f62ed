"""Coverage-guided fuzzing of the parsers of what everybody on the machine may write, with atheris (libFuzzer).

``harness`` is the process that fuzzes one of them; what must hold is in ``tests/property/holds.py``. ``seeds`` has good
inputs to begin with, ``words`` what is worth being put into them.
"""
