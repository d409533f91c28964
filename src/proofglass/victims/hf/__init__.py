"""Models of the transformers library behind one interface. `model.py` is the adapter, `families.py` what differs."""
