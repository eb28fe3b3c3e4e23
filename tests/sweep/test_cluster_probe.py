"""A cluster's address is tried before Ray: nobody there, somebody silent, something else, HTTP/2."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from harness.errors import HarnessError
from harness.sweep.cluster_probe import PREFACE, check_cluster


@contextmanager
def listening(answer: bytes | None):
    """Listen at a port: accept, and send ``answer`` (None: stay silent until the caller has gone)."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                heard.append(line.recv(len(PREFACE)))
                if answer is None:
                    line.recv(1)
                else:
                    line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", heard
        thread.join()


def test_a_closed_port_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(HarnessError, match=f"cannot reach the Ray cluster at {address}: Connection refused"):
        check_cluster(address)


def test_one_that_accepts_and_then_is_silent_is_given_up():
    with listening(None) as (address, _), pytest.raises(HarnessError, match="no answer in time"):
        check_cluster(address, answering=0.2)


def test_something_else_that_listens_is_told():
    answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with listening(answer) as (address, _), pytest.raises(HarnessError, match="is not Ray"):
        check_cluster(address)


def test_a_server_of_http_2_passes():
    with listening(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as (address, heard):
        check_cluster(f"ray://{address}")
    assert heard == [PREFACE]


@pytest.mark.parametrize("address", ["nowhere", "host:", ":6379", "host:port", "host:70000"])
def test_an_address_of_another_form_is_told(address):
    with pytest.raises(HarnessError, match="write it as host:port, or auto"):
        check_cluster(address)


def test_auto_is_left_to_ray():
    check_cluster("auto")
