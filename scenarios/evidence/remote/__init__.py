"""Seeds on other machines: what is sent there, who may run it, what runs there, what comes back."""
