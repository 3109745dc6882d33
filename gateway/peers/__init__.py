"""The links to other organizations: who is dialled, who is accepted, which link serves, and when one is cut."""
