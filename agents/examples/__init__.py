"""Examples that ship with the platform."""
