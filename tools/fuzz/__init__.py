"""Coverage-guided fuzzing of the parsers of untrusted input, with atheris (libFuzzer).

``harness`` is the process that fuzzes one parser; the checked properties are in ``tests/property/holds.py``. ``seeds``
has valid inputs to start from, ``words`` the dictionaries of libFuzzer.
"""
