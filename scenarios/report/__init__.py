"""Reports: one format a file. Each takes a Result and writes; none computes."""
