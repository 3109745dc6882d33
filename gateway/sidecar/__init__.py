"""A gateway beside an application: what is done for it from outside, by the command that starts the application."""
