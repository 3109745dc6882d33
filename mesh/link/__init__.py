"""The link between two gateways as a state machine without IO: see `mesh/link/machine.py`."""
