"""Lists of names, words and places; `.ci/lists.py` makes them and says where they come from."""
