"""The parts of the embedded PostgreSQL that know the operating system: accounts, folders, programs."""
