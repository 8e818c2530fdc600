"""The machine under a gateway: its board's cores, memory and account, and its life."""
