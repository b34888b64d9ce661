"""Finding the way in a spec: pure functions of what was parsed."""
