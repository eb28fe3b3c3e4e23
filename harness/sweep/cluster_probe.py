"""Whether a Ray cluster answers at an address: asked before Ray is imported, which would wait for minutes."""

from __future__ import annotations

import os
import socket

from harness.errors import HarnessError

CONNECTING, ANSWERING = 4.0, 20.0
"""Seconds to reach the port, and for whatever listens there to speak."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 says first (RFC 9113, 3.4), with an empty frame of settings."""
HEADER, SETTINGS = 9, 4
"""Bytes of a frame's header, and the type of the frame that a server must answer with."""


def check_cluster(address: str, *, connecting: float = CONNECTING, answering: float = ANSWERING) -> None:
    """Try the port of ``host:port`` or ``ray://host:port``. Raises HarnessError; "auto" is left to Ray.

    Ray speaks gRPC, so what listens must answer the opening of HTTP/2 with its settings. With RAY_USE_TLS it
    speaks through TLS, and only the port is tried.
    """
    if address in ("auto", "local"):
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise HarnessError(f"--address {address}: write it as host:port, or auto")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), connecting) as line:
            if os.environ.get("RAY_USE_TLS", "0") in ("0", ""):
                line.settimeout(answering)
                line.sendall(PREFACE)
                _expect_settings(line, address)
    except TimeoutError:
        raise HarnessError(f"cannot reach the Ray cluster at {address}: no answer in time") from None
    except OSError as error:
        raise HarnessError(f"cannot reach the Ray cluster at {address}: {error.strerror or error}") from None


def _expect_settings(line: socket.socket, address: str) -> None:
    head = b""
    while len(head) < HEADER:
        more = line.recv(HEADER - len(head))
        if not more:
            break
        head += more
    if len(head) < HEADER or head[3] != SETTINGS:
        raise HarnessError(f"cannot reach the Ray cluster at {address}: what listens there is not Ray")
