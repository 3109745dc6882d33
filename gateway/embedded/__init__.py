"""The embedded log: an organization's own cluster in one directory, for edge sites and for trying things out."""

from gateway.embedded.cluster import EmbeddedCluster, open_embedded

__all__ = ["EmbeddedCluster", "open_embedded"]
