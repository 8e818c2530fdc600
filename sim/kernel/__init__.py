"""What everything in simulated time rests on: the clock, random streams, histograms, the trace, the pacer,
invariants."""
