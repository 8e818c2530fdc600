"""What the user writes and reads: scenario files, expectations, verdicts, reports, the command line."""
