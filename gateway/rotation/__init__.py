"""Leaves and roots that change while everything runs."""
