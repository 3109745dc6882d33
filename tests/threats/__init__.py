"""Threats, the control against each, and the tests that fail without it."""
