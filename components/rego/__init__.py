"""Policies in Rego: what `opa build -t wasm` makes becomes a routing-policy component."""
