"""TensorZero's gateway as its wheel has it: no binary, but the Rust HTTP server that it starts for `openai` clients.

python tensorzero_gateway.py CONFIG      (in TensorZero's own environment; prints the URL once it listens)

The threads of the server do all the work; Python sleeps.
"""

import signal
import sys

from tensorzero.tensorzero import _start_http_gateway  # pyright: ignore - in its own environment

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url, flush=True)
signal.pause()
