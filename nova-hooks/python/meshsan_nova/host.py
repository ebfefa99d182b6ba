"""This host's SDC as the connectors see it: waits while it restarts, tells what it serves."""
import time

from oslo_config import cfg
from oslo_log import log as logging

from meshsan_nova import privileged
from meshsan_nova import sdc

LOG = logging.getLogger(__name__)

_POLL_SECONDS = 0.25


def patience():
    """Seconds for which something that is expected of the SDC is waited for."""
    return cfg.CONF[privileged.GROUP].sdc_timeout


def ask(request):
    """Asks the SDC once, with root's rights.

    :raises sdc.SdcRefusal: with its reason
    :raises sdc.SdcUnreachable: when nobody answers
    """
    outcome, content = privileged.ask(request)
    if outcome == 'refused':
        raise sdc.SdcRefusal(content)
    if outcome == 'unreachable':
        raise sdc.SdcUnreachable(content)
    return content


def ask_patiently(request):
    """Asks the SDC; one that is being restarted is waited for.

    :raises sdc.SdcRefusal: with its reason
    :raises sdc.SdcUnreachable: when nobody answered for as long as the patience lasts
    """
    deadline = time.monotonic() + patience()
    while True:
        try:
            return ask(request)
        except sdc.SdcUnreachable as error:
            if time.monotonic() > deadline:
                raise
            LOG.debug('The SDC of this host does not answer: %s', error)
        time.sleep(_POLL_SECONDS)


def volume(volume_id, system_id):
    """What the SDC says of a mapped volume after it has heard of all mappings; None: it is not mapped to this host."""
    answer = ask_patiently({'op': 'rescan'})
    for one in answer['volumes']:
        # An SDC of a release that served one system does not say which.
        if one['id'] == volume_id and one.get('systemId', system_id) == system_id:
            return one
    return None


def _of_system(request, system_id, answer):
    """A request that names the system, where the SDC serves several and ids alone may not be enough."""
    return dict(request, system=system_id) if len(answer.get('systems', [])) > 1 else request


def guid():
    """GUID of the SDC of this host, lower case.

    :raises sdc.SdcUnreachable: when nobody answers
    """
    return ask({'op': 'status'})['guid'].lower()


def attach(volume_id, system_id):
    """Makes a volume a block device of this host, as soon as it is mapped to it; returns the facts of the device.

    :raises sdc.SdcRefusal: when it is not mapped in time, or the device cannot be made
    :raises sdc.SdcUnreachable: when nobody answers
    """
    deadline = time.monotonic() + patience()
    while volume(volume_id, system_id) is None:
        if time.monotonic() > deadline:
            raise sdc.SdcRefusal(f'volume {volume_id} is not mapped to this host')
        time.sleep(_POLL_SECONDS)
    answer = ask_patiently({'op': 'status'})
    return ask_patiently(_of_system({'op': 'attach', 'volume': volume_id}, system_id, answer))['device']


def detach(volume_id, system_id, force):
    """Takes the block device of a volume away; one that is not there is fine.

    :param force: also if somebody has it open
    :raises sdc.SdcRefusal: when it is in use, with by what name
    :raises sdc.SdcUnreachable: when nobody answers
    """
    answer = ask_patiently({'op': 'status'})
    request = {'op': 'detach', 'volume': volume_id, 'force': bool(force)}
    ask_patiently(_of_system(request, system_id, answer))
