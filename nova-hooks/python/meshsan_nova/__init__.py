"""Volumes of MeshSAN in nova-compute and in every program that uses os-brick."""

__version__ = '0.1.0'

#: How connections to these volumes are called: driver_volume_type of Cinder's connection information.
PROTOCOL = 'meshsan'
