"""What runs have been: their checkpoints, what begins at them, and how much of them is kept."""
