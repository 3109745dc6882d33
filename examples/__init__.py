"""Programs that show how Stream Mesh is used; tests run them."""
