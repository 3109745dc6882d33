"""`mesh demo`: two organizations, two gateways, real flights, and the real commands."""
