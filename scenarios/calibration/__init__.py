"""``twinloop calibrate``: a board measured by a program that runs on it, and what its board file says then.

Belongs here: probes, what is fitted to them, the file that is written. Never: a simulation, a verdict. All
of it reads this machine's clocks: nothing of it is on a timeline. What is measured is CPU time, in turns,
and the smallest of several samples counts, because everything else on a machine disturbs in one direction
only."""
