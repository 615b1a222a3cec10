"""What runs a plan and what checks it: commands for llama-server, vLLM and Ollama, and a recipe for the gateway."""

import json
import shlex

from trimtab.plan import models, naming, prices
from trimtab.plan.choose import Plan
from trimtab.plan.option import Option

PORT = 8000


def runs(plan: Plan) -> str:
    """The command that starts the recommended model."""
    one, row = plan.best, naming.match(plan.best.model, models.catalog())
    if one.runtime == "api" or not row:
        return f"# {one.model} runs at its provider: set the key in the recipe's key_env"
    if one.runtime == "vllm":
        wide = f" --tensor-parallel-size {one.gpus}" if one.gpus > 1 else ""
        kind = {"fp8": " --quantization fp8", "awq": " --quantization awq"}.get(one.precision, "")
        return f"vllm serve {row.hf_id}{kind} --max-model-len {plan.needs.length} --port {PORT}{wide}"
    draft = naming.match(one.draft, models.catalog()) if one.draft else None
    also = f" -hfd {_gguf(draft.hf_id, one)} -ngld 99" if draft else ""
    return f"llama-server -hf {_gguf(row.hf_id, one)}{also} -c {plan.needs.length} -ngl 99 -fa on --port {PORT}"


def ollama(plan: Plan) -> str | None:
    """The same with Ollama; None where it has no build of it."""
    one = plan.best
    if one.runtime != "llama.cpp":
        return None
    row = naming.match(one.model, models.catalog())
    return f"ollama run hf.co/{_gguf(row.hf_id, one)}" if row else None


def checks(plan: Plan) -> str:
    """The command that measures what was predicted."""
    one, needs = plan.best, plan.needs
    if one.runtime == "llama.cpp":
        return (
            f"llama-bench -m MODEL.gguf -p {int(needs.prompt)} -n {int(needs.answer)} -o json > bench.json && "
            f"trimtab plan fit {one.model} --on {one.device} --probe bench.json"
        )
    if one.runtime == "vllm":
        return (
            f"vllm bench serve --model {one.model} --port {PORT} --random-input-len {int(needs.prompt)} "
            f"--random-output-len {int(needs.answer)} --request-rate {needs.rate:.2f} --save-result"
        )
    return "trimtab plan check -f plan.json -r recipe.toml"


def recipe(plan: Plan) -> str:
    """A recipe.toml for `trimtab serve`: the local server as the first rung, the provider above it."""
    one, needs = plan.best, plan.needs
    lines = [
        "# Written by trimtab plan. Start the model first:", f"#   {runs(plan)}", "",
        'name = "planned"', f"description = {_text(f'{one.name}')}", "",
        "[server]", 'host = "127.0.0.1"', "port = 8080", "",
        "[[guard]]", 'kind = "secrets"', 'action = "refuse"', 'on = ["request"]', "",
        "[route]", 'kind = "rules"', "",
    ]  # fmt: skip
    if one.runtime != "api":
        lines += _rung("small", f"http://127.0.0.1:{PORT}/v1", _served_name(one), ("0", "0", None))
    large = one.large or (one.model if one.runtime == "api" else "")
    listed = prices.find(large) if large else None
    if large and listed:
        price = (str(listed.price.input), str(listed.price.output), str(listed.price.cached or "") or None)
        lines += _rung("large", "https://api.openai.com/v1", large, price, "OPENAI_API_KEY")
    if one.routing == "cascade":
        lines += ["[[verify]]", 'kind = "schema"', ""]
    lines += ["[[record]]", 'kind = "ledger"', ""]
    if listed or (listed := prices.find(needs.large)):
        lines += _baseline(large or needs.large, str(listed.price.input), str(listed.price.output), listed.source)
    return "\n".join(lines)


def _rung(name: str, url: str, model: str, price: tuple[str, str, str | None], key: str = "") -> list[str]:
    cached = f", cached = {_text(price[2])}" if price[2] else ""
    lines = [
        "[[model]]", f"name = {_text(name)}", 'kind = "openai_http"', f"url = {_text(url)}", f"model = {_text(model)}",
        f"price = {{ input = {_text(price[0])}, output = {_text(price[1])}{cached} }}",
    ]  # fmt: skip
    return [*lines, *([f"key_env = {_text(key)}"] if key else []), ""]


def _baseline(model: str, price_in: str, price_out: str, source: str) -> list[str]:
    return [
        "[baseline]", f"model = {_text(model)}",
        f"price = {{ input = {_text(price_in)}, output = {_text(price_out)} }}",
        f"source = {_text(source)}", "",
    ]  # fmt: skip


def _served_name(one: Option) -> str:
    row = naming.match(one.model, models.catalog())
    return row.hf_id if row and one.runtime == "vllm" else one.model


def _gguf(hf_id: str, one: Option) -> str:
    return shlex.quote(f"unsloth/{hf_id.rsplit('/', 1)[-1]}-GGUF:{one.precision}")


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
