"""Documents that agents search: read, cut into chunks, embedded, found.

`reader`, `formats`, `chunking` and `media` know nothing of Django: documents are read in a process of their own.
"""
