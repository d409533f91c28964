"""Embedded test victims: small multimodal models of a fictional world, with every risk of the survey trained in.

`world` (words, facts, splits, prompts) and `pictures` import no torch. `recipes` rebuilds the weights from nothing.
"""
