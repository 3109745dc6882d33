"""The admin API: one module of routes per kind of thing, loopback only."""
