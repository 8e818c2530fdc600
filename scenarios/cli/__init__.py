"""The command line: one command a file. stdout is data, stderr is narration."""
