"""The independent verifier: judges the recorded run of a mirror, sharing no code with what it judges.

    python -m tests.verifier RUN_DIRECTORY

Journals, raw logs and claimed translations go in (`docs/reference/run-directory.md`), twelve checks come out, each with
a verdict and its evidence. Reading (`reading.py`) is apart from judging: the checks are pure functions of what was
parsed.
"""
