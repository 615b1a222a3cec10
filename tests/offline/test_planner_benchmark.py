"""benchmarks/planner.py on small files of the schemas: rows that it never saw are answered, what it says is kept."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "planner.py"
KV = """engine,model_key,n_ctx,n_seq_max,n_ubatch,type_k,type_v,swa_full,flash_attn,kv_unified,kv_mib_total,kv_parts,\
recurrent_mib,compute_mib_cpu,output_mib,kind,source
llama.cpp,llama-3.1-8b,8192,1,512,f16,f16,0,1,0,1024.0,,0,266.5,0.49,field-log,here
"""
SPEED = """hw_id,n_gpu,model_key,model_raw,quant,size_gib,weights_mib,decode_read_mib,engine,backend,test,n_tokens,\
depth,batch,flash_attn,tok_s,std,power_w,split,source,anomaly
rtx-4090,1,,somebody/thing-8b-gguf,Q4_K_M,,,,llama.cpp,CUDA,decode,128,0,1,,120,,,dev,here,
rtx-4090,1,llama-3-8b,llama-3-8b,AWQ-4bit,,,,vllm,CUDA,decode,128,0,1,,130,,,dev,here,
"""
SERVED = """id,model,system,engine,engine_version,precision,mode,isl,osl,concurrency,batch,tp,pp,dp_attn,moe_tp,moe_ep,\
prefill,decode,ttft_ms,tpot_ms,measured,source,split
a,openai/gpt-oss-120b,h200_sxm,vllm,1,mxfp4,agg,1024,1024,16,16,2,1,,1,1,,,90,8,2026-01-01,here,dev
b,somebody/New-300B-A20B,mi355x,sglang,1,fp8,disagg,1024,1024,64,,,,,,,1x tp4 b1,2x tp8 b32,500,15,2026-01-01,here,dev
"""


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("benchmark_planner", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*args):
        out = tmp_path / "planner.json"
        monkeypatch.setattr(sys, "argv", ["planner", "--data", str(tmp_path / "data"), "--out", str(out), *args])
        module.main()
        return json.loads(out.read_text())["rows"] if out.exists() else None

    return call


def test_new_rows_are_answered_by_what_ships(benchmark, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name, text in (("memory_kv_llamacpp", KV), ("speed_local", SPEED), ("serving_inferencex", SERVED)):
        (data / f"{name}.csv").write_text(text)
    rows = benchmark("--as-shipped", "--parts", "memory", "local", "tpot", "ttft")
    assert rows["KV + state"] == {"rows": 1, "answered": 1.0, "equal": 1.0}
    assert rows["compute buffer"]["median"] < 0.1
    assert rows["decode"]["answered"] == 1.0
    assert rows["TPOT"]["answered"] == 1.0
    assert rows["TTFT"]["answered"] == 1.0
    assert rows["decode: bandwidth/size"]["rows"] == 2


def test_without_data_it_says_so(benchmark, capsys):
    assert benchmark() is None
    assert capsys.readouterr().out.startswith("Skipped, planner.json left as it was: no ")
