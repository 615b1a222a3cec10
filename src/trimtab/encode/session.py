"""Opens an ONNX model as every part of the house model is opened."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from trimtab.errors import ConfigError


class Session(Protocol):
    """What is used of `onnxruntime.InferenceSession`."""

    def run(self, output_names: list[str], input_feed: dict[str, Any]) -> Sequence[Any]: ...


def session(path: Path, threads: int, fix: str = "") -> Session:
    """An inference session that is small and quiet: no spinning threads, no arena that keeps its largest batch.

    Raises `ConfigError` where `path` is no model or `threads` is under 1.
    """
    import onnxruntime

    if threads < 1:
        raise ConfigError(f"threads is {threads}.", fix="Give the encoder 1 thread or more.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigError(f"{path} is not a model that onnxruntime can run ({error}).", fix=fix) from error
