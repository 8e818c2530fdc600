"""The contract with the guests, the guests, and the host that runs them. The only folder that imports
wasmtime."""
