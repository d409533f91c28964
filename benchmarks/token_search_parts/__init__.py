"""Parts of `token_search.py`."""
