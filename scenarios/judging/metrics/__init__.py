"""What can be measured: one file for each kind of thing, one row for each metric, with the function that
reads it."""
