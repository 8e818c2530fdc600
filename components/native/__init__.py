"""The compiled part: what is done in C where there is a compiler, and in Python everywhere else."""
