"""What has been said: a tree of turns and its verbs, found again by its words, and written out."""
