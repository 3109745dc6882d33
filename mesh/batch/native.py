"""The few steps that cost most per batch and per record: compiled where there was a compiler, else in Python.

The two do the same (`mesh.batch.twin` says what); only their cost differs. Nothing here is a last word: what is not
accepted is judged by the strict code, which has the evidence.
"""

from __future__ import annotations

from mesh.batch.twin import Admitted, Part, Stretch

try:
    from mesh.batch._native import admitted, are_records, blank, merged, stretch

    IS_COMPILED = True
except ImportError:
    from mesh.batch.twin import admitted, are_records, blank, merged, stretch

    IS_COMPILED = False

__all__ = ["IS_COMPILED", "Admitted", "Part", "Stretch", "admitted", "are_records", "blank", "merged", "stretch"]
