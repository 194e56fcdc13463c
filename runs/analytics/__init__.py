"""Figures of what has ended: folded from what triggers note, read exactly at any moment, compared and drawn."""
