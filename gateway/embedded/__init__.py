"""The embedded log: an organization's own cluster in one directory, for edge sites and for trying things out."""
