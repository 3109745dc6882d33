"""The fault laboratory: records what happens to the mirror, for the verifier to judge."""
