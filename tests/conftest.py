"""What all tests share: a state folder of their own and no model found by chance."""

import os
import socket
import time

import pytest

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TRIMTAB_API_KEY", "TRIMTAB_LARGE", "TRIMTAB_LARGE_KEY", "TRIMTAB_SMALL")


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test reads or writes the developer's own state, nor finds their keys."""
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path / "trimtab-home"))
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="session")
def gateway_env(tmp_path_factory):
    """The address of a gateway with the starter recipe, for examples of the docs."""
    import subprocess
    import sys
    from pathlib import Path

    port = free_port()
    env = {key: value for key, value in os.environ.items() if key not in KEYS}
    env["TRIMTAB_HOME"] = str(tmp_path_factory.mktemp("docs-home"))
    trimtab = Path(sys.executable).parent / "trimtab"
    server = subprocess.Popen([trimtab, "serve", "--port", str(port)], env=env, stdout=-3, stderr=-3)
    for _ in range(300):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(20)
