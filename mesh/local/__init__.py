"""What an application and the gateway beside it say to each other.

`v1` is generated from proto/mesh/local/v1; `errors` are those that both a gateway and the test server raise.
"""
