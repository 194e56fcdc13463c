"""Which run goes next: turns in a session, room in a workspace, and what is stuck."""
