"""What asks something before it lets go: trouble, favourites, a kind of record."""
