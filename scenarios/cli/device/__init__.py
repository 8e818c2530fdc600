"""``twinloop device``: the device on the user's desk."""
