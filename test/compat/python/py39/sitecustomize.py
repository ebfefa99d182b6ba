"""Gives back what Python 3.10 took out of `collections`, for clients written before. Found through PYTHONPATH, so that
not a byte of the client changes."""
import collections
import collections.abc

for _name in collections.abc.__all__:
    if not hasattr(collections, _name):
        setattr(collections, _name, getattr(collections.abc, _name))
