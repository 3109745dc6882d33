"""Writing and reading records of local topics, for people and scripts."""
