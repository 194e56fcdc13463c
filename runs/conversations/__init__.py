"""What has been said: found again by its words, and written out."""
