"""What needs root: asking the SDC of this host. It runs in a privsep daemon of its own; nova-compute stays what it is."""
from oslo_config import cfg
from oslo_privsep import capabilities
from oslo_privsep import priv_context

from meshsan_nova import sdc

GROUP = 'meshsan'
OPTIONS = [
    cfg.StrOpt('sdc_control_socket',
               default='/run/meshsan-sdc/control.sock',
               help='Control socket of the SDC on this host.'),
    cfg.IntOpt('sdc_timeout',
               default=60, min=1,
               help='Seconds for which the SDC of this host is waited for: to answer, and to have a volume that '
                    'was just mapped.'),
    cfg.BoolOpt('scaleio_guid',
                default=False,
                help="Give os-brick's own ScaleIO connector the GUID of this host where /dev/scini is a file and cannot "
                     'tell it: needed as soon as two hosts without CUSE use the PowerFlex driver. Otherwise that '
                     'connector stays as it is.'),
]
cfg.CONF.register_opts(OPTIONS, group=GROUP)

default = priv_context.PrivContext(
    'meshsan_nova',
    cfg_section='privsep_meshsan',
    pypath=__name__ + '.default',
    # To open a socket that only root may open.
    capabilities=[capabilities.CAP_DAC_OVERRIDE],
)

#: Longer than the longest thing that the SDC does for one request.
_ASK_SECONDS = 120


@default.entrypoint
def ask(request):
    """Asks the SDC; returns ('ok', answer), ('refused', reason) or ('unreachable', reason).

    Exceptions of this package would not survive the way back out of the daemon.
    """
    try:
        return ('ok', sdc.ask(cfg.CONF[GROUP].sdc_control_socket, request, _ASK_SECONDS))
    except sdc.SdcRefusal as error:
        return ('refused', str(error))
    except sdc.SdcUnreachable as error:
        return ('unreachable', str(error))
