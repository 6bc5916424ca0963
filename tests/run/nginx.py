"""nginx in front of something, in a folder of its own, on a port that the kernel has chosen."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from harness import TIMEOUT_S, wait_for

CONFIG = """
error_log stderr notice;
pid {folder}/pid;
worker_processes 1;
{main}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port}{tls};
{server}
    }}
}}
"""

# What passes a WebSocket on, as everybody has it.
PASS = """
        location {path} {{
            proxy_pass {to};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
        }}
"""


class Nginx:
    """server: what stands in its server block; main: what stands at the top. certificate: a pair
    (cert, key) with which it speaks TLS."""

    def __init__(self, server, main="", certificate=None):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-nginx-"))
        self.folder.chmod(0o755)
        self.log_path = self.folder / "log"
        if certificate is not None:
            server += (f"        ssl_certificate {certificate[0]};\n"
                       f"        ssl_certificate_key {certificate[1]};\n")
        # It takes over sockets that listen already, as it does when it replaces itself.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            self.port = listener.getsockname()[1]
            self.config_path = self.folder / "nginx.conf"
            self.config_path.write_text(CONFIG.format(
                folder=self.folder, port=self.port, main=main, server=server,
                tls=" ssl" if certificate is not None else ""))
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    ["nginx", "-p", self.folder, "-c", self.config_path, "-g", "daemon off;",
                     "-e", "stderr"],
                    env={**os.environ, "NGINX": f"{listener.fileno()};"}, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, pass_fds=[listener.fileno()])
        wait_for(self._is_up, what="nginx to start")

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"nginx ended with {self.process.returncode}:\n{self.log()}")
        return "start worker process " in self.log()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(TIMEOUT_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def nginx_for(test, server, **options):
    """One for a unittest, stopped when the test is over."""
    nginx = Nginx(server, **options)
    test.addCleanup(nginx.close)
    return nginx
