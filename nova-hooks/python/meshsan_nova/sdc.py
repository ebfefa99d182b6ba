"""The control socket of this host's SDC: one JSON object per line each way."""
import json
import socket

#: More than the longest answer: 1024 attached volumes with their names and links.
ANSWER_BYTES_MAX = 4 * 1024 * 1024


class SdcRefusal(Exception):
    """The SDC answered no; the text is its reason."""


class SdcUnreachable(Exception):
    """Nobody answers on the socket: the SDC is not running, or is starting."""


def ask(path, request, timeout):
    """Sends one request and returns the answer.

    :param path: of the socket
    :param request: dict with `op`, as the page on configuration describes
    :param timeout: seconds to wait for the answer
    :raises SdcRefusal: with the SDC's reason
    :raises SdcUnreachable: when nobody answers, or not in time
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout)
        try:
            link.connect(path)
            link.sendall(json.dumps(request).encode() + b'\n')
            line = _read_line(link)
        except OSError as error:
            raise SdcUnreachable(f'{path}: {error}') from error
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise SdcUnreachable(f'{path}: the answer is cut short') from error
    if not isinstance(answer, dict) or 'ok' not in answer:
        raise SdcUnreachable(f'{path}: the answer makes no sense')
    if not answer['ok']:
        raise SdcRefusal(str(answer.get('error', 'refused without a reason')))
    return answer


def _read_line(link):
    received = bytearray()
    while b'\n' not in received:
        piece = link.recv(65536)
        if not piece:
            break
        received += piece
        if len(received) > ANSWER_BYTES_MAX:
            raise OSError('the answer is too long')
    return bytes(received).split(b'\n', 1)[0]
