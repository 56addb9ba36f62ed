"""What the monitor costs, beside what its peers cost, measured in one run: ``make bench``.

Figures are CPU time by the clocks of the processes, so that whatever else the machine does changes little; those of
one row are taken in turns. Nothing here judges: the test only looks whether the table is whole.
"""
