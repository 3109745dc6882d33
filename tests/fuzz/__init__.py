"""Fuzzing of everything that comes from a peer, a file, a broker or an operator.

The law: any bytes give a value or a documented `MeshError`, in bounded time and memory; never another exception. What
is accepted as a batch means the same records to every reader. Each target knows the grammar of its input, so that
mutants get past the first check; all of it is seeded, so that a finding comes again with the same command.
"""
