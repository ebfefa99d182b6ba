"""What every judge shares: reading cluster.json, running checks one after another, printing one JSON line per check.

A judge drives a foreign client, unmodified, against a cluster's gateway. A failed check never stops the ones that do
not build on it, and the exit code counts nothing: the lines on standard output are the result.
"""
import base64
import hashlib
import importlib.metadata
import json
import os
import pathlib
import sys
import time
import traceback
import urllib.parse

GIB_IN_KB = 1024 * 1024


class Cluster:
    """The parts of DIR/cluster.json that clients need."""

    def __init__(self, directory):
        self.directory = directory
        with open(os.path.join(directory, 'cluster.json'), encoding='utf-8') as file:
            content = json.load(file)
        gateway = urllib.parse.urlsplit(content['gateway'])
        self.host, self.port = gateway.hostname, gateway.port or 443
        self.ca_file = content['caFile']
        self.username = content['username']
        with open(content['passwordFile'], encoding='utf-8') as file:
            self.password = file.read().strip()
        self.system_id = content['systemId']
        self.protection_domain = content['protectionDomain']
        self.storage_pool = content['storagePool']
        self.sdc_guid = content['sdcGuid']


class Skip(Exception):
    """A check that this machine cannot run; its text says why, and it is counted."""


class Judge:
    """Runs checks in order. One that needs an earlier one names it; it is reported as failed if that one failed."""

    def __init__(self):
        self.cluster = Cluster(sys.argv[1])
        self.ok = set()

    def check(self, name, needs=()):
        """Decorator: runs the function at once, and prints the outcome."""

        def run(function):
            started = time.monotonic()
            missing = [one for one in needs if one not in self.ok]
            outcome = {'check': name, 'ok': False}
            if missing:
                outcome['detail'] = 'not run, because these failed: ' + ', '.join(missing)
            else:
                try:
                    detail = function()
                    outcome['ok'] = True
                    self.ok.add(name)
                    if detail is not None:
                        outcome['detail'] = str(detail)
                except Skip as reason:
                    outcome['skipped'] = str(reason)
                except Exception:  # Whatever a foreign client raises is a finding, not an end.
                    outcome['detail'] = traceback.format_exc(limit=-4)
            outcome['ms'] = round((time.monotonic() - started) * 1000)
            print(json.dumps(outcome), flush=True)
            return function

        return run

    @staticmethod
    def raises(kind, work, *matches):
        """Runs `work`, which must raise `kind`; every function in `matches` must accept the exception."""
        try:
            result = work()
        except kind as error:
            for match in matches:
                assert match(error), f'raised, but not as expected: {error!r} {vars(error)}'
            return error
        raise AssertionError(f'did not raise {kind}, returned {result!r}')


def sources_are_as_published(distribution):
    """Compares every installed file of a distribution with the digest that came with it; returns its version."""
    found = importlib.metadata.distribution(distribution)
    compared = 0
    for file in found.files or ():
        if file.hash is None or file.suffix == '.pyc':
            continue
        digest = hashlib.new(file.hash.mode, pathlib.Path(file.locate()).read_bytes()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b'=').decode() == file.hash.value, f'{file} was changed'
        compared += 1
    assert compared > 0, f'{distribution}: no digests to compare with'
    return f'{distribution} {found.version}, {compared} files'
