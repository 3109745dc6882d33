"""The API for applications on this machine: what it does (`api.py`), and over what it is spoken."""
