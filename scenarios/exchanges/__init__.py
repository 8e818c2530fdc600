"""What drivers asked and got, as a file, and its replay: docs/replay.md."""
