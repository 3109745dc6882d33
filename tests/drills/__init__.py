"""Drills: what is promised, tried on running gateways, with figures."""
