"""Two applications, the gateways beside them, and a demo of both."""
