"""What the HTTP APIs of the gateway share: declared operations, who may call, refusals, streams, the document."""
