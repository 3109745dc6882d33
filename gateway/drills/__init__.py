"""Drills: an emergency measure is taken for real on a live system, measured, and taken back."""
