"""benchmarks/planner.py on small files of the schemas: rows that it never saw are answered, what it says is kept."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from trimtab.plan import measured, table

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


ENERGY = """task,model,gpu,num_gpus,tp,dp,ep,weight_precision,max_num_seqs,avg_batch,avg_output_len,out_tok_s,\
median_itl_ms,p95_itl_ms,p99_itl_ms,avg_power_w_total,j_per_token,j_per_request,params_b,active_b,source
gpqa,Qwen/Qwen3-8B,A100,1,1,1,1,bfloat16,64,60,900,1500,,,,320,0.21,,8,8,here
gpqa,Qwen/Qwen3-8B,A100,1,1,1,1,FP8-dynamic,64,,900,,,,,310,,,8,8,here
"""
HARDWARE = """id,name,cls,mem_gb,usable_gb,mem_bw_gbs,fp16_tflops_dense,int8_tops_dense,tdp_w,idle_w,price_usd,\
cloud_usd_h_low,cloud_usd_h_high,battery_wh,source,notes
{}new-card,{}NewCard 48,gpu,48,,1008,330,661,450,,,,,,here,
"""
MODELS = """key,hf_id,params_total,params_active,layers,hidden,heads,kv_heads,head_dim,ffn,vocab,context,\
tied_embeddings,attention,sliding_window,global_pattern,kv_shared_layers,mla,moe,linear_state
new-one,maker/NewOne,,,32,4096,32,8,128,14336,128256,131072,0,GQA,,,,,,
"""


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(FILE.parent))
    spec = importlib.util.spec_from_file_location("benchmark_planner", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    monkeypatch.setattr(module, "whole", dict)

    def call(*args):
        for kept in (measured.facts, measured.quantities, measured.full, table.say):
            kept.cache_clear()
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


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def line(device, model, speed):
    return f"{device},1,{model},,Q4_K_M,,,,llama.cpp,CUDA,decode,128,0,1,,{speed},,,dev,here,\n"


def head(table):
    return table.splitlines()[0] + "\n"


def test_new_devices_and_models_are_answered_from_their_facts(benchmark, data):
    (data / "hardware.csv").write_text(HARDWARE.replace("{}", ""))
    (data / "models.csv").write_text(MODELS)
    (data / "speed_local.csv").write_text(head(SPEED) + line("new-card", "new-one", 120))
    new = benchmark("--parts", "local")["decode"]
    (data / "speed_local.csv").write_text(head(SPEED) + line("rtx-4090", "llama-3-8b", 120))
    known = benchmark("--parts", "local")["decode"]
    assert new["answered"] == known["answered"] == 1.0
    assert new["median"] == known["median"]  # the same facts under other names


def test_a_device_is_of_its_kind_whatever_its_id(benchmark, data):
    text = head(HARDWARE)
    text += "x1,{},dc,80,,3350,989,1979,700,,,,,,here,\n"
    scores = {}
    for name in ("Maker's H100 of SXM", "Something else"):
        (data / "hardware.csv").write_text(text.replace("{}", name))
        one = line("x1", "llama-3-8b", 5000).replace("decode", "prefill")
        (data / "speed_local.csv").write_text(head(SPEED) + one)
        scores[name] = benchmark("--as-shipped", "--parts", "local")["prefill"]["median"]
    assert scores["Maker's H100 of SXM"] != scores["Something else"]


def test_rows_that_cannot_be_read_are_named_and_the_others_scored(benchmark, data, capsys):
    lines = [line("rtx-4090", "llama-3-8b", cell) for cell in ("120", "fast", "", "-3", "0", "inf", '"1,120"')]
    lines.append(line("rtx-4090", "llama-3-8b", "120").rstrip() + ",surplus\n")
    lines += [line("nothing-9", "llama-3-8b", "9"), line("rtx-4090", "nameless", "9"), "rtx-4090,1\n", "\n"]
    (data / "speed_local.csv").write_bytes(
        b"\xef\xbb\xbf" + (head(SPEED) + "".join(lines)).replace("\n", "\r\n").encode()
    )
    (data / "hardware.csv").write_text(HARDWARE.replace("1008", "a lot").replace("{}", ""))
    (data / "models.csv").write_text(MODELS.replace(",32,4096", ",many,4096"))
    (data / "memory_kv_llamacpp.csv").write_bytes(bytes(range(128, 256)))
    rows = benchmark("--as-shipped")
    said = capsys.readouterr().err
    assert rows["decode"]["rows"] == 9
    assert rows["decode"]["answered"] == round(2 / 9, 4)
    for number, cell in ((3, "fast"), (4, ""), (5, "-3"), (6, "0"), (7, "inf")):
        assert f"speed_local.csv, line {number}: tok_s is {cell!r}" in said
    assert "line 9: it has more cells than the file has columns" in said
    assert "no device 'nothing-9' is known" in said
    assert "no model 'nameless' is known" in said
    assert "hardware.csv, line 2: mem_bw_gbs is 'a lot'" in said
    assert "models.csv, line 2: no layers" in said
    assert "memory_kv_llamacpp.csv is no UTF-8 text" in said
    assert "there is no serving_inferencex.csv" in said


def test_columns_that_nothing_needs_may_be_missing(benchmark, data, capsys):
    (data / "speed_local.csv").write_text(
        "tok_s,HW_ID , model_key,quant,test\n120,NVIDIA GeForce RTX 4090,llama-3-8b,Q4_K_M,decode\n"
    )
    (data / "serving_inferencex.csv").write_text("model,system,isl,osl\nQwen/Qwen3-8B,h100_sxm,1000,1000\n")
    rows = benchmark("--as-shipped", "--parts", "local", "tpot")
    assert rows["decode"]["answered"] == 1.0
    assert rows["TPOT"] == {"rows": 1, "answered": 0.0}
    assert "serving_inferencex.csv has no column tpot_ms" in capsys.readouterr().err


def test_power_is_scored_where_no_pace_was_measured(benchmark, data):
    (data / "serving_energy_mlenergy.csv").write_text(ENERGY)
    rows = benchmark("--parts", "rest")
    assert rows["power"]["answered"] == 1.0  # an A100 by its short name
    assert rows["J/token"] == rows["J/token"] | {"rows": 2, "answered": 0.5}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_few_rows_are_scored_held_out_too(benchmark, data, count):
    (data / "serving_inferencex.csv").write_text("".join(SERVED.splitlines(keepends=True)[: count + 1]))
    (data / "serving_energy_mlenergy.csv").write_text("".join(ENERGY.splitlines(keepends=True)[: count + 1]))
    rows = benchmark("--held-out", "--parts", "tpot", "ttft", "rest") or {}
    assert ("TPOT, device held out" in rows) == (count > 0)
    assert ("power, model held out" in rows) == (count > 0)


def test_figures_of_one_folder_are_not_kept_beside_those_of_another(benchmark, data):
    (data / "speed_local.csv").write_text(SPEED)
    assert "decode" in benchmark("--as-shipped", "--parts", "local")
    (data / "speed_local.csv").unlink()
    (data / "memory_kv_llamacpp.csv").write_text(KV)
    assert set(benchmark("--as-shipped", "--parts", "memory")) == {
        "KV + state",
        "KV + state: uniform rule",
        "compute buffer",
    }
