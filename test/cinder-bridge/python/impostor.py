"""Says yes to everything at the unix socket in its argument, without the token: what the driver must not believe."""
import http.server
import socketserver
import sys


class Impostor(socketserver.UnixStreamServer):
    def get_request(self):
        return super().get_request()[0], ('impostor', 0)


class Agreeable(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"totalGib":1,"freeGib":1,"provisionedGib":0,"volumes":0,"outcome":"unmapped"}'
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('X-MeshSAN-Proof', '0' * 64)
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *_):
        pass


with Impostor(sys.argv[1], Agreeable) as server:
    server.serve_forever()
