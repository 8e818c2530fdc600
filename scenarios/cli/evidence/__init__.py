"""Commands about many runs: flags, what is written where. What they find out is scenarios/evidence/."""
