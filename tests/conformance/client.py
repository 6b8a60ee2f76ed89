# Usage: client.py PORT CA 1.2|1.3
import socket, ssl, sys

port, ca, version = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = context.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
session = None
for resumed in (False, True):
    stream = socket.create_connection(("localhost", int(port)), timeout=10)
    tls = context.wrap_socket(stream, server_hostname="localhost", session=session)
    for turn in range(10):
        sent = bytes([turn]) * 10_000
        tls.sendall(sent)
        got = b""
        while len(got) < len(sent):
            got += tls.recv(len(sent)) or sys.exit("ended early")
        assert got == sent
    assert tls.session_reused == resumed
    session = tls.session
    tls.unwrap().close()  # raises without the daemon's close_notify
