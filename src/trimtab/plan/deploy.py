"""What runs a plan and what checks it: commands for llama-server, vLLM and Ollama, and a recipe for the gateway."""

import json
import shlex

from trimtab.plan import models, naming, prices
from trimtab.plan.choose import Plan
from trimtab.plan.option import Option

PORT = 8000
SELLERS = {
    "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "cerebras": ("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks": ("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "google": ("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "moonshot-ai": ("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "xai": ("https://api.x.ai/v1", "XAI_API_KEY"),
}
"""Where a provider is asked, and the variable of its key."""
UNKNOWN = ("https://your-provider.example/v1", "LARGE_API_KEY")
"""To be filled in: the recipe says so by its name."""


def runs(plan: Plan) -> str:
    """The command that starts the recommended model."""
    one, row = plan.best, naming.match(plan.best.model, models.catalog())
    if one.runtime == "api" or not row:
        return f"# {one.model} runs at its provider: set the key in the recipe's key_env"
    if one.runtime == "vllm":
        wide = f" --tensor-parallel-size {one.gpus}" if one.gpus > 1 else ""
        kind = " --quantization fp8" if one.precision == "fp8" else ""
        name = f"<an AWQ checkpoint of {row.hf_id}>" if one.precision == "awq" else row.hf_id
        kind += f" --served-model-name {row.hf_id}" if one.precision == "awq" else ""
        also = f"{kind} --max-model-len {plan.needs.length}"
        return f"vllm serve {name}{also} --port {PORT}{wide}"
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
            f"trimtab plan fit {one.model} --on {one.device} -q {one.precision}{_gpus(one)} --probe bench.json"
        )
    if one.runtime == "vllm":
        row = naming.match(one.model, models.catalog())
        each = needs.rate / max(1, one.servers - 1)
        lengths = f"--random-input-len {int(needs.prompt)} --random-output-len {int(needs.answer)}"
        return (
            f"vllm bench serve --model {row.hf_id if row else one.model} --port {PORT} --dataset-name random {lengths} "
            f"--request-rate {each:.3g} --save-result --result-filename bench.json && "
            f"trimtab plan fit {one.model} --on {one.device} -q {one.precision}{_gpus(one)} --batch "
            f"{max(1, round(one.batch))} --prompt {int(needs.prompt)} --answer {int(needs.answer)} --probe bench.json"
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
        lines += _rung("small", f"http://127.0.0.1:{PORT}/v1", "", _served_name(one), ("0", "0", None))
    large = one.large or (one.model if one.runtime == "api" else "")
    listed = prices.find(large) if large else None
    if large and listed:
        price = (str(listed.price.input), str(listed.price.output), str(listed.price.cached or "") or None)
        lines += _rung("large", *SELLERS.get(listed.provider, UNKNOWN), listed.model, price)
    if one.routing == "cascade":
        lines += ["[[verify]]", 'kind = "schema"', ""]
    lines += ["[[record]]", 'kind = "ledger"', ""]
    if listed or (listed := prices.find(needs.large)):
        lines += _baseline(large or needs.large, str(listed.price.input), str(listed.price.output), listed.source)
    return "\n".join(lines)


def _rung(name: str, url: str, key: str, model: str, price: tuple[str, str, str | None]) -> list[str]:
    cached = f", cached = {_text(price[2])}" if price[2] else ""
    lines = [
        "[[model]]", f"name = {_text(name)}", f"kind = {_text(_kind(url))}", f"url = {_text(url)}",
        f"model = {_text(model)}",
        f"price = {{ input = {_text(price[0])}, output = {_text(price[1])}{cached} }}",
    ]  # fmt: skip
    return [*lines, *([f"key_env = {_text(key)}"] if key else []), ""]


def _kind(url: str) -> str:
    return "anthropic_http" if url == SELLERS["anthropic"][0] else "openai_http"


def _baseline(model: str, price_in: str, price_out: str, source: str) -> list[str]:
    return [
        "[baseline]", f"model = {_text(model)}",
        f"price = {{ input = {_text(price_in)}, output = {_text(price_out)} }}",
        f"source = {_text(source)}", "",
    ]  # fmt: skip


def _gpus(one: Option) -> str:
    return f" --gpus {one.gpus}" if one.gpus > 1 else ""


def _served_name(one: Option) -> str:
    row = naming.match(one.model, models.catalog())
    return row.hf_id if row and one.runtime == "vllm" else one.model


def _gguf(hf_id: str, one: Option) -> str:
    return shlex.quote(f"unsloth/{hf_id.rsplit('/', 1)[-1]}-GGUF:{one.precision}")


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
