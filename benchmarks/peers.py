"""The gateways that benchmarks/gateway.py runs, ours among them: how each is installed, configured and started.

Each runs with one worker on one core, in the setting its own documentation has for speed, and does less than ours does:
no keys, no budgets, no guards, no ledger. They come from package indexes, into environments of their own in a cache
folder.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "_peers"
TRIMTAB = Path(sys.executable).parent / "trimtab"
UPSTREAM, PORT, SSE = 28091, 28092, 28093
"""Ports: the upstream's, the gateway's (both as in bench.toml), and nginx' second one, which does not buffer."""
KEPT = "1.13.8"
"""Of @hono/node-server: with newer ones Portkey 1.15 answers no stream ("TypeError: immutable", its issue 1389)."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One gateway. `version` gives "" where it is not installed; `prepare` may add headers that a request needs."""

    about: str
    command: Callable[[Path, Path], list[str]]
    version: Callable[[Path], str]
    install: Callable[[Path], None] = lambda _: None
    prepare: Callable[[Path], dict[str, str]] = lambda _: {}
    environ: dict[str, str] = field(default_factory=dict[str, str])
    model: str = "mock"
    path: str = "/v1/chat/completions"
    stream_port: int = PORT
    announced: str = ""

    def ports(self, log: Path) -> tuple[int, int]:
        """Where whole bodies and streams are asked for; raises `OSError` until it has said so, where it chooses."""
        if not self.announced:
            return PORT, self.stream_port
        said = re.findall(self.announced, log.read_text("utf-8", "replace"))
        if not said:
            raise ConnectionRefusedError("no port is announced yet")
        return int(said[-1]), int(said[-1])


def _filled(name: str, home: Path) -> Path:
    """A configuration of `_peers` with this run's ports and folder in it."""
    for placeholder in ("body", "proxy"):
        (home / placeholder).mkdir(exist_ok=True)
    made = home / name
    values = {"upstream": UPSTREAM, "port": PORT, "sse": SSE, "home": home}
    made.write_text((SOURCES / name).read_text().format(**values))
    return made


def _output(command: list[str]) -> str:
    """What a command says, "" where it cannot be run."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (ran.stdout + ran.stderr).strip()


def _python(cache: Path, name: str) -> str:
    return str(cache / name / "bin" / "python")


def _pip(name: str, *packages: str) -> Callable[[Path], None]:
    def install(cache: Path) -> None:
        venv.create(cache / name, with_pip=True)
        subprocess.run([_python(cache, name), "-m", "pip", "install", "-q", "-U", *packages], check=True)

    return install


def _installed(name: str, *packages: str) -> Callable[[Path], str]:
    """The versions of packages in an environment, as "a 1.0, b 2.0"."""
    code = (
        "import sys; from importlib.metadata import version; "
        "print(*(f'{name} {version(name)}' for name in sys.argv[1:]), sep=', ')"
    )
    return lambda cache: _output([_python(cache, name), "-c", code, *packages])


def _of_trimtab(_: Path) -> str:
    revision = _output(["git", "-C", str(HERE), "describe", "--always", "--dirty"])
    return f"{_output([str(TRIMTAB), '--version'])} at {revision}"


def _key(home: Path) -> dict[str, str]:
    """A virtual key with limits of its own, as `trimtab keys create` makes it."""
    limits = ("requests=100000000/minute", "tokens=1000000000000/day", "usd=1000000/month", "concurrency=100000")
    command = [str(TRIMTAB), "keys", "create", "bench", "--team", "bench", "--json", "-r", str(HERE / "bench.toml")]
    command += [word for limit in limits for word in ("--limit", limit)]
    environ = {**os.environ, "TRIMTAB_HOME": str(home / "trimtab")}
    made = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return {"authorization": f"Bearer {json.loads(made.stdout)['token']}"}


def _apt(_: Path) -> None:
    if not shutil.which("nginx"):
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "nginx-light"], check=True)


def _npm(cache: Path) -> None:
    folder = cache / "portkey"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"private": True, "dependencies": {"@portkey-ai/gateway": "*"}, "overrides": {"@hono/node-server": KEPT}}
    (folder / "package.json").write_text(json.dumps(wanted))
    shutil.rmtree(folder / "node_modules", ignore_errors=True)
    (folder / "package-lock.json").unlink(missing_ok=True)
    subprocess.run(["npm", "install", "--silent"], cwd=folder, check=True)


def _portkey(cache: Path) -> Path:
    return cache / "portkey" / "node_modules" / "@portkey-ai" / "gateway"


def _of_portkey(cache: Path) -> str:
    package = _portkey(cache) / "package.json"
    if not package.is_file() or not shutil.which("node"):
        return ""
    return f"@portkey-ai/gateway {json.loads(package.read_text())['version']}, node {_output(['node', '--version'])}"


def _litellm(*server: str) -> Peer:
    flags = ["--host", "127.0.0.1", "--port", str(PORT), "--num_workers", "1", "--telemetry", "False", *server]
    return Peer(
        about=f"one worker ({' '.join(server) or 'uvicorn'}), no database, no key, no callbacks, no retries, "
        "LITELLM_LOG=ERROR, LITELLM_MODE=PRODUCTION",
        command=lambda cache, home: [
            str(cache / "litellm" / "bin" / "litellm"), "--config", str(_filled("litellm.yaml", home)), *flags,
        ],
        version=_installed("litellm", "litellm", "granian" if server else "uvicorn", "aiohttp", "uvloop"),
        install=_pip("litellm", "litellm[proxy]"),
        environ={
            "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
    )  # fmt: skip


PEERS = {
    "nginx": Peer(
        about="proxy_pass, one worker, 1,024 connections kept to the upstream, no log; proxy_buffering off for streams",
        command=lambda _, home: ["nginx", "-p", str(home), "-c", str(_filled("nginx.conf", home))],
        version=lambda _: _output(["nginx", "-v"]).removeprefix("nginx version: "),
        install=_apt,
        stream_port=SSE,
    ),
    "trimtab": Peer(
        about="bench.toml: a virtual key with four limits, three limits more, guards secrets, patterns and pii, route "
        "by rules, metrics, ledger; every event decoded; no masking, since the upstream is local",
        command=lambda _, __: [str(TRIMTAB), "serve", "-r", str(HERE / "bench.toml"), "--port", str(PORT)],
        version=_of_trimtab,
        prepare=_key,
        model="auto",
    ),
    "tensorzero": Peer(
        about="the HTTP gateway in the wheel of its Python client (there is no binary in it), observability off",
        command=lambda cache, home: [
            _python(cache, "tensorzero"), str(SOURCES / "tensorzero_gateway.py"), str(_filled("tensorzero.toml", home)),
        ],
        version=_installed("tensorzero", "tensorzero"),
        install=_pip("tensorzero", "tensorzero"),
        environ={"TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1", "RUST_LOG": "error"},
        model="tensorzero::model_name::mock",
        path="/openai/v1/chat/completions",
        announced=r"http://127\.0\.0\.1:(\d+)/openai/v1",
    ),
    "portkey": Peer(
        about=f"headless, NODE_ENV=production, @hono/node-server {KEPT}: newer ones break its streams",
        command=lambda cache, _: [
            "node", str(_portkey(cache) / "build" / "start-server.js"), "--headless", f"--port={PORT}",
        ],
        version=_of_portkey,
        install=_npm,
        prepare=lambda _: {
            "x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{UPSTREAM}/v1",
            "authorization": "Bearer none",
        },
        environ={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"},
    ),
    "fastapi": Peer(
        about="_peers/fastapi_proxy.py: 30 lines of FastAPI and httpx; uvicorn, uvloop, httptools, no access log",
        command=lambda cache, _: [
            _python(cache, "fastapi"), "-m", "uvicorn", "fastapi_proxy:app", "--app-dir", str(SOURCES),
            "--port", str(PORT), "--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools",
        ],
        version=_installed("fastapi", "fastapi", "httpx", "uvicorn", "uvloop", "httptools"),
        install=_pip("fastapi", "fastapi", "httpx", "uvicorn", "uvloop", "httptools"),
        environ={"UPSTREAM": f"http://127.0.0.1:{UPSTREAM}"},
    ),
    "litellm": _litellm("--run_granian"),
    "litellm-uvicorn": _litellm(),
}  # fmt: skip
USUAL = ("nginx", "trimtab", "tensorzero", "portkey", "fastapi", "litellm")
"""LiteLLM behind granian was the quicker one of its two at one connection and at 32; the other runs with --only."""
