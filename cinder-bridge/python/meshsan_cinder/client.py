"""Requests to the cinder-bridge service: signed, checked, and sent again while the bridge is being restarted.

Every operation of the bridge may arrive twice, so sending again is always safe. Nothing of Cinder is known here.
"""
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import socket
import stat
import struct
import time
import urllib.parse

TOKEN = re.compile(r'[0-9a-fA-F]{64}\s*')
ANSWER_BYTES_MAX = 256 * 1024 * 1024
RETRY_SECONDS = 0.5


class BridgeError(Exception):
    """The bridge refused, with one of its codes, or could not be asked (code 'down')."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message


class _NoAnswer(Exception):
    """No answer came: the request may have been carried out or not."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket whose other end must be root's or our own user's process."""

    def __init__(self, path, timeout):
        super().__init__('localhost', timeout=timeout)
        self._path = path

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
            size = struct.calcsize('3i')
            _, uid, _ = struct.unpack('3i', sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
            if uid not in (0, os.geteuid()):
                raise BridgeError('down', f'{self._path} is served by user {uid}, not by root or by this user')
        except BaseException:
            sock.close()
            raise
        self.sock = sock


def read_token(path):
    """The token of a file that only its owner can read. The text of an error never holds its content."""
    try:
        with open(path, encoding='ascii') as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(256)
    except (OSError, UnicodeDecodeError) as error:
        raise BridgeError('down', f'the token file {path} cannot be read: {error}') from error
    if stat.S_IMODE(mode) & 0o077:
        raise BridgeError('down', f'the token file {path} must be readable by its owner only: chmod 600 {path}')
    if not TOKEN.fullmatch(text):
        raise BridgeError('down', f'the token file {path} must hold 64 hex digits')
    return bytes.fromhex(text.strip())


class BridgeClient:
    """Speaks with one bridge.

    :param address: absolute path of its unix socket, or host:port
    :param token_file: 64 hex digits, which the bridge holds too
    :param timeout: seconds that one request may take
    :param patience: seconds for which a bridge that is not there is tried again
    """

    def __init__(self, address, token_file, timeout=120, patience=10):
        self._address = address
        self._token_file = token_file
        self._timeout = timeout
        self._patience = patience

    def call(self, method, path, body=None):
        """Sends a request and returns the answer. Raises BridgeError."""
        content = b'' if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self._attempt(method, path, content)
            except _NoAnswer as error:
                if time.monotonic() >= deadline:
                    raise BridgeError(
                        'down', f'the MeshSAN bridge at {self._address} does not answer: {error}') from error
            time.sleep(RETRY_SECONDS)

    def _attempt(self, method, path, content):
        token = read_token(self._token_file)
        nonce = secrets.token_hex(16)
        connection = self._connection()
        try:
            connection.request(method, path, content, {
                'Authorization': _signature(token, method, path, content, nonce),
                'Content-Type': 'application/json'})
            response = connection.getresponse()
            answer = response.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise _NoAnswer(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        proof = response.getheader('X-MeshSAN-Proof', '')
        expected = _mac(token, f'answer\n{nonce}\n{response.status}\n{hashlib.sha256(answer).hexdigest()}')
        if not hmac.compare_digest(proof.encode(), expected.encode()):
            raise BridgeError('down', f'what answers at {self._address} (HTTP {response.status}) does not hold the '
                                      f'token of {self._token_file}')
        return _content(response.status, answer)

    def _connection(self):
        if self._address.startswith('/'):
            return _UnixConnection(self._address, self._timeout)
        host, _, port = self._address.rpartition(':')
        return http.client.HTTPConnection(host.strip('[]'), int(port), timeout=self._timeout)


def _mac(token, text):
    return hmac.new(token, text.encode(), hashlib.sha256).hexdigest()


def _signature(token, method, path, content, nonce):
    at = str(int(time.time() * 1000))
    digest = hashlib.sha256(content).hexdigest()
    signature = _mac(token, f'request\n{method}\n{path}\n{at}\n{nonce}\n{digest}')
    return f'MeshSAN-HMAC {at}:{nonce}:{signature}'


def _content(status, answer):
    try:
        content = json.loads(answer)
    except ValueError as error:
        raise BridgeError('internal', 'the answer of the bridge is not JSON') from error
    if status == 200:
        return content
    fault = content.get('error', {})
    raise BridgeError(fault.get('code', 'internal'), fault.get('message', f'HTTP {status}'))


def quoted(text):
    """A part of a path."""
    return urllib.parse.quote(str(text), safe='')
