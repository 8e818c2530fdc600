"""What is often said of WebAssembly on gateways, number by number: measured on this machine, modelled on each
board, and whether it is true.

Belongs here: claims, what measures them, what is made of the figures. Never: a figure that nobody measured,
prices of boards (scenarios/file/boards/), what needs a compiler or a container (benchmarks/claims).
"""
