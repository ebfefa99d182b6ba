"""Runs Fuel's plugin builder, which was written for Python 2, on the folders that are named: prints its verdict for each.

Its sources are untouched: it only finds again what Python took away (unicode, filter as a list, PyYAML's old load).
"""
import builtins
import sys

import yaml

builtins.unicode = lambda text, _encoding=None: text
lazy_filter = builtins.filter
builtins.filter = lambda function, items: list(lazy_filter(function, items))
load = yaml.load
yaml.load = lambda stream, Loader=yaml.SafeLoader: load(stream, Loader=Loader)

from fuel_plugin_builder import cli  # noqa: E402  (needs the above)

sys.argv = ["fpb", "--check", sys.argv[1]]
cli.main()
