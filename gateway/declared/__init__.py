"""Objects that an operator declares in files: peers, shares, grants and subscriptions."""
