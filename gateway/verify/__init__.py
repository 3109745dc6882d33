"""The independent verifier: compares both logs of a subscription, sharing with the mirror only the ports."""
