"""Limits of volume types, under the names that ScaleIO's driver gave them: extra specs, or QoS specs of any consumer."""
import re

from cinder import exception
from cinder.volume import volume_types

#: And what the bridge calls them. Those per GB grow with the volume; the smaller of both kinds counts.
NAMES = {'maxIOPS': 'iops', 'maxBWS': 'kbps', 'maxIOPSperGB': 'iopsPerGib', 'maxBWSperGB': 'kbpsPerGib'}
LARGEST = 0xffffffff - 1024
SMALLEST_IOPS = 11
KB_PER_MB = 1024


def of_volume(volume):
    """What each host may do that has the volume attached; 0: no limit. Raises InvalidInput for what cannot be kept."""
    type_id = volume.volume_type_id
    return of_type(type_id, volume_types.get_volume_type_extra_specs(type_id) if type_id else {})


def of_type(type_id, extra_specs):
    """QoS specs count more than extra specs."""
    found = volume_types.get_volume_type_qos_specs(type_id) if type_id else None
    qos = (found or {}).get('qos_specs') or {}
    specs = qos.get('specs') or {}
    unknown = sorted(set(specs) - set(NAMES))
    # What the hypervisor is to enforce has names of its own, which are none of these.
    if unknown and qos.get('consumer') in ('back-end', 'both'):
        raise exception.InvalidInput(
            reason=f'QoS specs with consumer={qos["consumer"]} may hold {", ".join(NAMES)}, not {", ".join(unknown)}: '
                   'use consumer=front-end for what the hypervisor enforces')
    merged = {**extra_specs, **specs}
    limits = {ours: _number(name, merged.get(name, '0')) for name, ours in NAMES.items()}
    if 0 < limits['iops'] < SMALLEST_IOPS:
        raise exception.InvalidInput(reason=f'maxIOPS must be 0 or at least {SMALLEST_IOPS}, not {limits["iops"]}')
    # The cluster limits bandwidth in steps of 1 MiB/s.
    limits['kbps'] = -(-limits['kbps'] // KB_PER_MB) * KB_PER_MB
    return limits


def _number(name, text):
    if not re.fullmatch('[0-9]{1,10}', str(text).strip()) or int(text) > LARGEST:
        raise exception.InvalidInput(
            reason=f'{name} must be a whole number from 0 (no limit) to {LARGEST}, not {text}')
    return int(text)
