"""Good scrapers beside many bad connections: ``make load``, and a smaller one among the tests."""
