"""Judges that were trained on replies with people's labels: reply -> text -> features -> a linear model's probability.

`text.py` makes words of a reply, `cues.py` names what the words do, `features.py` hashes both, `model.py` holds the
weights. Small, offline, the same on every machine. `recipes/judges.py` trains them.
"""
