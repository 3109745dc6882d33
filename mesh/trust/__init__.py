"""Who a peer's gateway is, decided from certificates alone: pure, `now` is always an argument."""
