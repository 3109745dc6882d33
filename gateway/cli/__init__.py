"""The `mesh` command: one module per noun, each with `register(root)`."""
