"""How good a model is: the figures, and the report of them."""
