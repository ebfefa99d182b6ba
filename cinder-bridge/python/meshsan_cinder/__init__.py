"""Cinder volume driver for MeshSAN."""

__version__ = '0.1.0'
