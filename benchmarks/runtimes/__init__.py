"""WebAssembly runtimes measured side by side: ``python -m benchmarks.runtimes`` or ``make runtimes``.

Belongs here: our kernels (``kernels/``, built to the committed components/probes/kernels.wasm), a runner
for each runtime, the measure and what is made of it: ``measured.json``,
``scenarios/file/boards/runtimes.yaml``, the table of ``docs/runtimes.md``. Never: figures that somebody
else measured; those are cited on the page."""
