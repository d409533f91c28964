"""How alike two texts, or two pictures, are: pure functions, equal to their references."""
