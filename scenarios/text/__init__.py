"""Text of a user's: documents with lines, quantities with units, errors with places."""
