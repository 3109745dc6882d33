"""Benchmarks: each module is a program, `python -m bench.NAME`; its header says what it measures."""
