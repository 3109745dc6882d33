"""A simulator of whole mirrors: the real exporter, importer and link on clusters in memory, in virtual time.

`python -m tests.simulator --schedules 10000 --seed 1`. Each schedule is a seed: what the source is given, which faults
befall which process at which step, and which of the ready callbacks runs next all follow from it.
"""
