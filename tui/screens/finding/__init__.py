"""Finding something: the log by kinds and words, and a search in everything that has a name."""
