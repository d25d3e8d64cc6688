"""Fill the files of this directory in for other ports and paths: to try them without root.

    python deploy/nginx/render.py DIRECTORY --listen 127.0.0.1:8443 --node 127.0.0.1:8001 \\
        --certificate cert.pem --key key.pem [--microcache]
    nginx -p DIRECTORY -c DIRECTORY/nginx.conf

Every value of the files that is replaced must be there exactly as often as said, or it raises.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["render"]

HERE = Path(__file__).resolve().parent
PARTS = ("main", "proxy", "headers", "errors", "error-headers", "microcache", "microcache-zone")
# What Debian's nginx.conf says around a site, with every path inside the directory.
AROUND = """\
daemon off;
include scailookup/main.conf;
worker_processes {workers};
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
events {{ worker_connections 4096; }}
http {{
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    gzip on;
    access_log off;
    client_body_temp_path {directory}/temp-body;
    proxy_temp_path {directory}/temp-proxy;
    fastcgi_temp_path {directory}/temp-fastcgi;
    uwsgi_temp_path {directory}/temp-uwsgi;
    scgi_temp_path {directory}/temp-scgi;
    include scailookup.conf;
}}
"""


def render(
    directory: Path,
    *,
    listen: str,
    nodes: Sequence[str],
    plain: str = "127.0.0.1:0",
    certificate: Path | None = None,
    key: Path | None = None,
    microcache: bool = False,
    origin: str | None = None,
    rates: tuple[int, int] | None = None,
    patience: int | None = None,
    workers: int = 1,
) -> Path:
    """Write a whole nginx configuration below ``directory``; the path of its nginx.conf.

    ``listen`` is where https is served, or http when there is no ``certificate``; ``plain`` where
    http is redirected from. ``rates`` are requests a second for each token and each address,
    ``patience`` the seconds that a silent node is given.
    """
    text = (HERE / "scailookup.conf").read_text()

    def put(old: str, new: str, times: int = 1) -> None:
        nonlocal text
        found = text.count(old)
        if found != times:
            raise ValueError(f"{old!r} stands {found} times in scailookup.conf, not {times}")
        text = text.replace(old, new)

    put("    listen [::]:80;\n", "")
    put("    listen [::]:443 ssl http2;\n", "")
    put("listen 80;", f"listen {plain};")
    put("listen 443 ssl http2;", f"listen {listen} ssl http2;" if certificate else f"listen {listen};")
    put("server_name lookups.example.com;", "server_name lookups.example.com localhost 127.0.0.1;", 2)
    if certificate:
        put("/etc/ssl/scailookup/fullchain.pem", str(certificate))
        put("/etc/ssl/scailookup/privkey.pem", str(key or certificate))
    else:
        text = re.sub(r"(?m)^    ssl_.*\n", "", text)
    for rule in ("max_fails=2 fail_timeout=5s;    # CHANGE", "backup max_fails=0;             # CHANGE"):
        put(f"    server 127.0.0.1:8011 {rule}\n", "")
        put(f"    server 127.0.0.1:8001 {rule}\n", "".join(f"    server {node} {rule}\n" for node in nodes))
    put("/var/log/nginx/scailookup.log", str(directory / "access.log"))
    if microcache:
        put("#include scailookup/microcache", "include scailookup/microcache", 3)
    if origin:
        put('#"https://canvas.example.com"', f'"{origin}"')
    if rates:
        for rate, burst, wanted in ((20, 40, rates[0]), (200, 400, rates[1])):
            put(f"rate={rate}r/s", f"rate={wanted}r/s")
            put(f"burst={burst} ", f"burst={max(burst, wanted)} ")
    (directory / "scailookup").mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        content = (HERE / f"{part}.conf").read_text()
        content = content.replace("/run/scailookup-microcache", str(directory / "microcache"))
        if patience:
            content = content.replace("proxy_read_timeout 10s;", f"proxy_read_timeout {patience}s;")
        (directory / "scailookup" / f"{part}.conf").write_text(content)
    (directory / "scailookup.conf").write_text(text)
    around = directory / "nginx.conf"
    # Workers that give root's rights away could not read a directory of root's.
    user = "user root;" if os.geteuid() == 0 else ""
    around.write_text(AROUND.format(directory=directory, workers=workers, user=user))
    return around


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fill deploy/nginx in for other ports and paths.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--listen", default="127.0.0.1:8443")
    parser.add_argument("--plain", default="127.0.0.1:8080")
    parser.add_argument("--node", action="append", dest="nodes", required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--microcache", action="store_true")
    given = vars(parser.parse_args())
    directory = given.pop("directory").resolve()
    print(render(directory, **given))


if __name__ == "__main__":
    main()
