"""Generated from proto/mesh/local/v1: what an application and the gateway beside it say to each other."""
