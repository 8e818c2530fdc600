"""What a host pays for each call into a component, each import, and each value that crosses, in ARM64 (A64)
instructions, for three hosts:

- ``c-api``: wasmtime's C API with dynamic values (components/probes/hosts/host.c)
- ``rust-typed``: the wasmtime crate with the bindings of ``bindgen!`` (``rust/src/main.rs``)
- ``python``: wasmtime-py's ``wasmtime.component`` (components/probes/hosts/python_host.py)

``python -m benchmarks.hosts`` builds them for ARM64, runs them under qemu-user with a plugin that counts
(``c/plugin.c``), writes ``counted.json``, fits a price to each (``fitted.json``), and prints both. ``--fit``
fits what was counted without counting again. The guests are the shipped ones and one that only crosses
(``probe.wat``).

It needs gcc, gcc-aarch64-linux-gnu, qemu-user (6 to 8), rustup, pip, and apt-get for a Python of ARM64.
"""
