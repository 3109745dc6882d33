"""The gateway's side of gRPC. Importing this package alone does not import gRPC: see `tls13`."""
