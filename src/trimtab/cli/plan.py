"""`trimtab plan`: from constraints to model, precision, hardware and cost; and the single estimates by themselves."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out

if TYPE_CHECKING:
    from trimtab.plan.architecture import Architecture
    from trimtab.plan.refit import Scales
    from trimtab.plan.tensors import Tensor

ABOUT = """Choose model, precision, hardware and routing from constraints.

At a terminal without options it asks; figures carry low, central, high and what they rest on."""
FILE = typer.Option(None, "--file", "-f", help="Constraints as TOML; flags lie over it.")
WHERE = typer.Option([], "--where", help="device, edge, browser, server, cloud; several with commas.")
HTML = typer.Option(None, "--html", help="Write one self-contained page.")
WRITE = typer.Option(None, "--write", help="Write a recipe.toml for trimtab serve.")
PROBE = typer.Option(None, "--probe", help="What llama-bench, vllm bench serve or GuideLLM wrote on the device.")
PROBED = typer.Option("", "--probed", help="The model that the probe ran, where it is another.")
QUANT = typer.Option(
    "", "--precision", "-q",
    help="A GGUF mixture for llama.cpp, or bf16, fp8, awq for vLLM; without it its own, or Q4_K_M.",
)  # fmt: skip
GPUS = typer.Option(1, "--gpus", min=1, max=64, help="Devices the weights are split over.")
PLANNED = typer.Option(..., "--file", "-f", help="The plan's constraints, or its --json output.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="plan", help=ABOUT, invoke_without_command=True)
    verb.callback(help=ABOUT, invoke_without_command=True)(plan)
    verb.command("memory", help="What a model needs in memory, part by part.")(memory)
    verb.command("fit", help="Whether and how fast a model runs on a device; with a probe, refitted to it.")(fit)
    verb.command("tco", help="A month at a provider against hardware of your own, and where they cross.")(tco)
    verb.command("train-budget", help="Model size and tokens to train, with its inference counted.")(train_budget)
    verb.command("devices", help="The devices of the catalog, and where each row is from.")(devices)
    verb.command("models", help="The models of the catalog, and where each row is from.")(models)
    verb.command("check", help="The plan's volume against the traffic that the ledger saw.")(check)
    app.add_typer(verb)


def plan(
    context: typer.Context,
    file: Path | None = FILE,
    where: list[str] = WHERE,
    device: str = typer.Option("", help="One device of the catalog."),
    model: str = typer.Option("", help="One model of the catalog."),
    requests: float | None = typer.Option(None, help="Requests a month."),
    prompt: float | None = typer.Option(None, help="Tokens of a prompt."),
    answer: float | None = typer.Option(None, help="Tokens of an answer."),
    length: float | None = typer.Option(None, "--context", help="Tokens that must fit."),
    peak: float | None = typer.Option(None, help="The busiest hour over the mean."),
    first_p95: float | None = typer.Option(None, "--first-p95", help="Seconds to the first token, p95; 2, 0 for any."),
    pace: float | None = typer.Option(None, help="Tokens a second of one answer; without it 5, 0 for any."),
    budget: float | None = typer.Option(None, help="USD a month."),
    quality: float | None = typer.Option(None, help="Percent on the benchmark; without it 60 unless a model is named."),
    benchmark: str = typer.Option("", help="mmlu, mmlu_pro, gsm8k, humaneval, ifeval."),
    private: bool = typer.Option(False, "--private", help="Nothing may go to a provider."),
    watts: float | None = typer.Option(None, help="Watts in all."),
    gpus: int | None = typer.Option(
        None, help="Devices in one server, at the most; without it 4 cards, or 8 in a centre."
    ),
    licence: str = typer.Option("", help="A word the licence must have."),
    large: str = typer.Option("", help="The provider's model that hard requests go to."),
    escalated: float | None = typer.Option(None, help="Share of requests that go there."),
    harm: float | None = typer.Option(None, help="USD that one wrong answer costs."),
    fails: str = typer.Option("", help="Which failure matters most: cost, latency, quality, privacy."),
    explain: bool = typer.Option(False, "--explain", help="Each term and what it follows from."),
    json: bool = JSON,
    cached: float | None = typer.Option(None, help="Share of prompts that a provider has in its cache."),
    batch: float | None = typer.Option(None, help="Share of requests that may wait for a day."),
    probe: Path | None = PROBE,
    probed: str = PROBED,
    precision: str = typer.Option("", "--precision", "-q", help="The precision that the probe ran."),
    html: Path | None = HTML,
    write: Path | None = WRITE,
) -> None:
    if context.invoked_subcommand:
        return
    flags = {
        "where": _words(where), "device": device, "model": model, "requests": requests, "prompt": prompt,
        "answer": answer, "context": length, "peak": peak, "first_p95": first_p95, "pace": pace, "budget": budget,
        "quality": quality, "benchmark": benchmark, "private": private or None, "watts": watts, "gpus": gpus,
        "licence": licence, "large": large, "escalated": escalated, "harm": harm, "fails": fails, "cached": cached,
        "batch": batch,
    }  # fmt: skip
    given = {key: value for key, value in flags.items() if value not in (None, "", ())}
    _plan(given, file, _scales(device, probed or model, precision, probe), explain, json, html, write)


def memory(
    model: str = typer.Argument(help="A model of the catalog, a .gguf, a config.json or a folder."),
    precision: str = QUANT,
    context: int = typer.Option(8192, "--context", "-c", help="Cells in all."),
    sequences: int = typer.Option(1, "--sequences", "-np", help="Sequences at a time."),
    micro: int = typer.Option(512, "--micro-batch", help="Tokens of a micro-batch."),
    keys: str = typer.Option("f16", "--cache-type-k", help="f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl."),
    values: str = typer.Option("f16", "--cache-type-v", help="The same for values."),
    whole_window: bool = typer.Option(False, "--swa-full", help="Windows get the whole context."),
    unified: bool = typer.Option(False, "--kv-unified", help="One buffer for all sequences."),
    eager: bool = typer.Option(False, "--no-flash", help="Without flash attention."),
    on: str = typer.Option("", "--on", help="A device: does it fit?"),
    gpus: int = GPUS,
    split: str = typer.Option("layer", "--split", help="How llama.cpp divides them: layer, or row (tensor parallel)."),
    explain: bool = typer.Option(False, "--explain", help="Each term and what it follows from."),
    json: bool = JSON,
) -> None:
    from trimtab.plan import devices, report, splits
    from trimtab.plan import memory as estimate
    from trimtab.plan.cache import checked

    shape, found, precision = _at(model, precision)
    device = devices.find(on) if on else None
    session = checked(
        context=context, sequences=sequences, micro=micro, keys=keys, values=values, whole_window=whole_window,
        flash=not eager, unified=unified,
    )  # fmt: skip
    each: tuple[dict[str, Any], ...] = ()
    if precision in estimate.ENGINE_BITS:
        parts = estimate.paged(shape, precision, device=device.memory if device else 81_920.0, gpus=gpus)
    elif gpus > 1:
        each = splits.stacks(shape, precision, session, gpus, split, found)
        parts = max(each, key=lambda one: one["total"].central)
    else:
        parts = estimate.stack(shape, precision, session, found=found, accelerated=not device or device.kind != "cpu")
    fits = None if not device or "total" not in parts else parts["total"].central <= device.usable
    if json:
        also = {"devices": [report.figures(one) for one in each]} if each else {}
        _out.emit({"model": shape.name, "precision": precision, "parts": report.figures(parts), "fits": fits, **also})
        return
    if gpus > 1:
        print(f"On the fullest of {gpus} devices:" if each else f"On each of {gpus} devices:")
    for name, figure in parts.items():
        print(f"{name:12} {report.shown(figure)}")
    for number, one in enumerate(each):
        print(f"device {number}: {report.ranged(one['total'])}, weights {report.ranged(one['weights'])}")
    if device and fits is not None:
        print(f"{'fits' if fits else 'does not fit'}: {device.name} has {device.usable:,.0f} MiB to use")
    if explain:
        for name, says in report.explained(shape, parts).items():
            print(f"  {name}: {says}")


def fit(
    model: str = typer.Argument(help="A model of the catalog, a .gguf, a config.json or a folder."),
    on: str = typer.Option(..., "--on", help="A device of the catalog."),
    precision: str = QUANT,
    context: int = typer.Option(8192, "--context", "-c", min=1, help="Cells, for llama.cpp."),
    depth: int = typer.Option(0, "--depth", min=0, help="Tokens in the context already, for llama.cpp."),
    gpus: int = GPUS,
    batch: float = typer.Option(32, "--batch", min=1, max=65536, help="Sequences at a time, for vLLM."),
    prompt: int = typer.Option(1000, min=1, max=10_000_000, help="Tokens of a prompt, for vLLM."),
    answer: int = typer.Option(300, min=1, max=10_000_000, help="Tokens of an answer, for vLLM."),
    probe: Path | None = PROBE,
    probed: str = PROBED,
    explain: bool = typer.Option(False, "--explain", help="What a token's time is made of."),
    json: bool = JSON,
) -> None:
    from trimtab.plan import devices, fits, report

    shape, found, precision = _at(model, precision)
    device = devices.find(on)
    asked = fits.Asked(
        precision=precision, context=context, depth=depth, gpus=gpus, batch=batch, prompt=prompt, answer=answer
    )
    answered = fits.fits(shape, found, device, asked, _scales(on, probed or model, precision, probe, gpus))
    if json:
        _out.emit({"model": shape.name, "device": device.id, "fits": answered.fits,
                   "figures": report.figures(answered.figures)})  # fmt: skip
        return
    where = f"{gpus} x {device.id}" if gpus > 1 else device.id
    print(f"{shape.name} {precision} {'fits' if answered.fits else 'does not fit'} on {where}")
    for name, figure in answered.figures.items():
        print(f"  {name:13} {report.shown(figure)}")
    if explain:
        for name, says in answered.terms.items():
            print(f"    {name}: {says}")
        if not answered.terms:
            _out.say("A server's figures have no terms to show: its step is fitted as a whole.")


def tco(
    model: str = typer.Argument(help="A model of the catalog."),
    on: str = typer.Option(..., "--on", help="A device of the catalog."),
    against: str = typer.Option("gpt-5.4", "--against", help="A provider's model."),
    requests: float = typer.Option(100_000, help="Requests a month."),
    prompt: float = typer.Option(1000, help="Tokens of a prompt."),
    answer: float = typer.Option(300, help="Tokens of an answer."),
    training: float = typer.Option(0, "--training", help="USD once, for distilling it; and its pay-back."),
    json: bool = JSON,
) -> None:
    from trimtab.plan import tco as estimate

    found = estimate.compare(model, on, against, requests=requests, prompt=prompt, answer=answer, training=training)
    if json:
        _out.emit(found)
        return
    for line in estimate.lines(found):
        print(line)


def train_budget(
    quality: float = typer.Option(
        ..., "--quality-of", help="Parameters of the compute-optimal model to be as good as."
    ),
    served: float = typer.Option(..., "--served", help="Tokens it will serve in its life."),
    json: bool = JSON,
) -> None:
    from trimtab.plan import budget

    rows = [budget.aware(law, quality, served) for law in budget.LAWS]
    if json:
        import msgspec

        _out.emit({"budgets": msgspec.to_builtins(rows)})
        return
    for row in rows:
        print(f"{row.law:28} {row.size / 1e9:6.1f} B parameters, {row.tokens / 1e12:5.2f} T tokens, "
              f"saves {row.saves:.1%} of {row.training + row.inference:.2e} operations")  # fmt: skip


def devices(json: bool = JSON) -> None:
    from trimtab.plan import devices as listed

    rows = [
        {"id": one.id, "name": one.name, "kind": one.kind, "memory_mib": round(one.memory), "gb_s": one.bandwidth,
         "tflops": one.tflops, "source": one.source} for one in listed.catalog().values()
    ]  # fmt: skip
    if json:
        _out.emit({"devices": rows})
        return
    for row in rows:
        memory = f"{row['memory_mib'] / 1024:6.0f} GiB {row['gb_s']:7,.0f} GB/s"
        print(f"{row['id']:20} {row['kind']:8} {memory}  {row['source']}")


def models(json: bool = JSON) -> None:
    from trimtab.plan import models as listed

    rows = [
        {"id": key, "hub": row.hf_id, "params": row.shape.params, "licence": row.licence, "released": row.released,
         "source": row.source} for key, row in listed.catalog().items()
    ]  # fmt: skip
    if json:
        _out.emit({"models": rows})
        return
    for row in rows:
        print(f"{row['id']:26} {row['params'] / 1e9:7.1f} B  {row['licence']:24} {row['released']}  {row['source']}")


def check(
    recipe: str = typer.Option("starter", "--recipe", "-r", help="The recipe whose ledger is read."),
    file: Path = PLANNED,
    json: bool = JSON,
) -> None:
    import asyncio

    from trimtab.cli import _plan_check

    rows = asyncio.run(_plan_check.compared(recipe, file))
    if json:
        _out.emit({"rows": rows})
        return
    for row in rows:
        note = {False: "  <- differs", None: "  (no pace was asked for: not judged)"}.get(row["ok"], "")
        print(f"{row['what']:22} planned {row['planned']}, saw {row['saw']}{note}")
    if any(row["ok"] is False for row in rows):
        _out.say("Plan again with what was seen: the same file, with those numbers as flags over it.")
        raise typer.Exit(1)


def _plan(given: dict[str, Any], file: Path | None, probed: "Scales | None", explain: bool, json: bool,
          html: Path | None, write: Path | None) -> None:  # fmt: skip
    from trimtab.plan import choose, deploy, needs, report
    from trimtab.plan.refit import NONE

    if not given and not file and not json and _asks():
        from trimtab.cli import _plan_ask

        given = _plan_ask.asked()
    found = choose.plan(needs.read(file, given) if file else needs.made(given), probed=probed or NONE)
    stack, shape = choose.stack(found)
    if html:
        from trimtab.plan import page

        _wrote(html, page.page(found, stack), "")
    if write:
        _wrote(write, deploy.recipe(found), f": trimtab serve {write}")
    if json:
        _out.emit(report.values(found, stack))
        return
    terms = report.explained(shape, stack) if explain and shape else None
    for line in report.text(found, stack, terms):
        print(line)


def _wrote(path: Path, text: str, then: str) -> None:
    from trimtab.errors import ConfigError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be written: {error.strerror}.", "Name another file.") from error
    _out.say(f"Wrote {path}{then}")


def _words(given: list[str]) -> tuple[str, ...]:
    return tuple(word.strip() for one in given for word in one.split(",") if word.strip())


def _scales(on: str, model: str, precision: str, probe: Path | None, gpus: int = 1) -> "Scales":
    """What a probe says of the device `on`, on which `model` ran at `precision`."""
    from trimtab.errors import ConfigError
    from trimtab.plan import devices, refit

    if not probe:
        return refit.NONE
    if not on or not model:
        raise ConfigError("A probe is of one model on one device.", "Name them: --device and --probed (or --model).")
    shape, found, precision = _at(model, precision)
    return refit.scales(probe, shape, devices.find(on), precision, gpus, found)


def _asks() -> bool:
    import sys

    return sys.stdin.isatty() and sys.stderr.isatty()


def _at(name: str, precision: str) -> "tuple[Architecture, tuple[Tensor, ...], str]":
    """A model's shape, the tensors of its file where they are at that precision, and the precision: its own where
    none is asked for. Asked for another one, a file is taken as what is made anew of its shape."""
    from trimtab.plan import checkpoint, weights
    from trimtab.plan import memory as estimate

    shape, found = _model(name)
    own = checkpoint.precision(found)
    if precision and own and estimate.named(precision) != estimate.named(own):
        found = ()
    return shape, found, precision or own or weights.precisions(shape.family)[0][0]


def _model(name: str) -> "tuple[Architecture, tuple[Tensor, ...]]":
    from trimtab.plan import checkpoint, models, naming

    path = Path(name)
    if path.suffix in (".gguf", ".json", ".safetensors") or path.is_dir():
        return checkpoint.read(path)
    row = naming.match(name, models.catalog()) or models.find(name)
    return row.shape, ()
