"""Commands about recorded exchanges."""
