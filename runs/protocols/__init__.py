"""Languages of others that runs are asked for and answered in. Each could be deleted with its folder."""
