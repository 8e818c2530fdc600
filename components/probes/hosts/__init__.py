"""Host programs whose instructions were counted (benchmarks/hosts) and whose time is measured
(scenarios/calibration): host.c for wasmtime's C API, python_host.py; one in Rust is in benchmarks/hosts/rust.

Belongs here: programs that stand alone, with one command line for all. Never: what is made of their
answers."""
