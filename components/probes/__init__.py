"""What is run to find out how fast a machine is: guests, host programs, work of the host's libraries.

Belongs here: everything of it that needs wasmtime or cryptography. Never: a figure
(scenarios/calibration), nor a clock but that of least_call.py."""
