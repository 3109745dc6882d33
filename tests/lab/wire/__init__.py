"""Faults of the network between two processes: a proxy that does them, and namespaces in which links go down."""
