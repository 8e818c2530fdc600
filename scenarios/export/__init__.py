"""A run in the formats of other tools: a trace for Perfetto, samples as Parquet.

Belongs here: gathering and writing what a run shows. Never: anything that changes the run, or that a run
without such a flag has to load.
"""
