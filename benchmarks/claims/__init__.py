"""What claims about WebAssembly on gateways need a compiler, a container or another process for: ``make
claims`` or ``python -m benchmarks.claims``.

Belongs here: measuring guest code against native code, a process of its own with a runtime, containers;
writing ``scenarios/claims/measured.json``, docs/claims.md and the README's lines. Never: claims and verdicts
(scenarios/claims).
"""
