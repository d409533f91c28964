"""How the weights of the testbed came about: every training stage, from nothing."""
