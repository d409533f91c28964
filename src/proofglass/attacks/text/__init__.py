"""Malicious text: what is written into the dialogue, and the token search that finds it."""
