"""One component out of several (joining.py), and what is needed for it: types and bytes."""
