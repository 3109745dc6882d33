"""The audit log of this gateway: what was decided about trust, by whom, in a chain that shows any later change."""
