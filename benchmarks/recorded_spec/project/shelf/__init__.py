"""A shelf for links."""
