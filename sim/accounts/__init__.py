"""The books: every sample that was due and how it ended, where its time went, what its quality means."""
