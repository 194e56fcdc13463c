"""Backups of a whole installation: one file that is whole or none, and what brings it back and proves that it has.

A backup is a ZIP file, so that every system can look into it:

    database.dump    the database as one moment had it, in pg_dump's custom format
    files/…          what the storage keeps, under the names that the database knows
    secrets.json     the keys, only where they were asked for
    SHA256SUMS       of everything above, as `sha256sum --check` reads it
    manifest.json    what is in it; written last, so that what was broken off has none
"""
