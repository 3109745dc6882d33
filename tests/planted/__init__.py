"""Twenty mistakes planted into copies of the product, each caught by the check that is meant to catch it."""
