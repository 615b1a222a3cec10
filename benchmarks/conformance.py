"""Other people's tests against a whole gateway: the SDKs' own, llm-comply's, and schemathesis on /openapi.json.

    python benchmarks/conformance.py [--seconds 120] [--seed 1] [--only openai,anthropic,comply,fuzz] [--out FILE]

`trimtab serve` with `trimtab mock` behind it; the suites come from the package index into an environment of their own
(~/.cache/trimtab-bench/conformance), at the versions of the SDKs in requirements/dev.lock. A test that asks for what is
not done here by design passes as `departs` only where departures.py names it, its error and its reason.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from departures import ANTHROPIC, COMPLY, OPENAI, Departure

HERE = Path(__file__).parent
RESULT = HERE / "results" / "conformance.json"
PLACE = Path.home() / ".cache" / "trimtab-bench" / "conformance"
PYTHON = PLACE / "venv" / "bin" / "python"
TOOLS = (
    "schemathesis==4.32.5", "llm-comply==0.5.0", "pytest", "pytest-asyncio", "pytest-xdist", "inline-snapshot", "respx",
    "http-snapshot[httpx]", "time-machine", "dirty-equals", "opentelemetry-sdk", "rich",
)  # fmt: skip
SUITES = {
    "openai": (
        "chat", "test_completions.py", "test_embeddings.py", "test_models.py", "test_responses.py", "responses",
    ),
    "anthropic": ("test_messages.py", "test_models.py", "beta/test_messages.py", "beta/test_models.py"),
}  # fmt: skip
"""Files under the SDKs' tests/api_resources for what is served here; add to them what is served next."""
NAMED = {
    "openai_http": ("gpt-6-astra", "gpt-3.5-turbo-instruct", "model"),
    "anthropic_http": ("claude-opus-5-5", "model_id"),
}
"""The models that the SDKs' tests ask for."""
FORMATS = {"openai-chat": "gpt-6-astra", "open-responses": "gpt-6-astra", "anthropic": "claude-opus-5-5"}
KEY = "conformance-key"
FUZZ = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "504"]  # 504: the request's own limits.latency_s passed
"""

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, help="of fuzzing, without a key and again with one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="openai,anthropic,comply,fuzz")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    wanted = asked.only.split(",")
    prepare()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as home, gateway(Path(home)) as url:
        for name in SUITES.keys() & set(wanted):
            rows += sdk(name, url, Path(home))
        rows += comply(url) if "comply" in wanted else []
        rows += [fuzz(url, Path(home), asked, key="")] if "fuzz" in wanted else []
    if "fuzz" in wanted:
        with tempfile.TemporaryDirectory() as home, gateway(Path(home), KEY) as url:
            rows.append(fuzz(url, Path(home), asked, KEY))
    show(rows)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(any(row["failed"] for row in rows))


def prepare() -> None:
    """The environment and the SDKs' sources, once for each of their versions."""
    lock = (HERE.parent / "requirements" / "dev.lock").read_text()
    pins = [re.search(rf"^{name}==[\w.]+", lock, re.MULTILINE)[0] for name in SUITES]
    mark = PLACE / "ready"
    if mark.is_file() and mark.read_text() == repr((pins, TOOLS)):
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "venv", PLACE / "venv")
    run(PYTHON, "-m", "pip", "install", "-q", *pins, *(f"{name}[aiohttp]" for name in SUITES), *TOOLS)
    names = ",".join(SUITES)
    run(PYTHON, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", names, "-d", PLACE, *pins)
    for name, pin in zip(SUITES, pins, strict=True):
        with tarfile.open(PLACE / f"{pin.replace('==', '-')}.tar.gz") as archive:
            archive.extractall(PLACE, filter="data")
        (PLACE / name).unlink(missing_ok=True)
        (PLACE / name).symlink_to(pin.replace("==", "-"))
    mark.write_text(repr((pins, TOOLS)))


@contextmanager
def gateway(home: Path, key: str = "") -> Iterator[str]:
    """The address of `trimtab serve` with `trimtab mock` behind it; `key` is asked for where there is one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (home / "recipe.toml").write_text(recipe(port))
    with started(home, "mock", "--port", str(port)), started(home, "serve", str(home), "--port", "0", key=key) as said:
        yield said["url"]


def recipe(port: int) -> str:
    """A recipe whose models have the names that the tests ask for; the deprecated ones the SDK knows."""
    code = "import json, anthropic.resources.messages as m; print(json.dumps(list(m.DEPRECATED_MODELS)))"
    old = json.loads(subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout)
    found = [
        'name = "conformance"', "[discover]", "environment = false", "loopback = false",
        "[approve]", 'kind = "policy"', "[[record]]", 'kind = "ledger"', "[[record]]", 'kind = "metrics"',
    ]  # fmt: skip
    for kind, names in NAMED.items():
        for name in (*names, *(old if kind == "anthropic_http" else ())):
            found += ["[[model]]", f'kind = "{kind}"', f'name = "{name}"', f'url = "http://127.0.0.1:{port}/v1"']
            found += ['model = "mock"', "vision = true", 'price = { input = "1", output = "2" }']
    return "\n".join(found) + "\n"


@contextmanager
def started(home: Path, *words: str, key: str = "") -> Iterator[dict[str, Any]]:
    """One of our commands while it runs, and the JSON that it says first."""
    code = "import sys; from trimtab.cli import main; sys.exit(main())"
    environment = {**os.environ, "HOME": str(home), "TRIMTAB_API_KEY": key}
    with (home / f"{words[0]}.log").open("w") as log:
        command = [sys.executable, "-c", code, *words, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        yield json.loads(process.stdout.readline())
        if process.poll() is not None:
            raise SystemExit(
                f"{words[0]} ended by itself ({process.returncode}): {(home / f'{words[0]}.log').read_text()}"
            )
    finally:
        process.terminate()
        process.wait(20)


def sdk(name: str, url: str, home: Path) -> list[Row]:
    """The SDK's own tests as they are, and those that depart again with fields that mean something here."""
    departures = {"openai": OPENAI, "anthropic": ANTHROPIC}[name]
    asked = _pytest(name, url, home / f"{name}.jsonl", [])
    again = _pytest(name, url, home / f"{name}-again.jsonl", [(d.test, d.instead) for d in departures if d.instead])
    return [_row(name, suite, asked, again, departures) for suite in SUITES[name]]


def _pytest(name: str, url: str, out: Path, instead: list[tuple[str, dict[str, Any]]]) -> dict[str, Row]:
    base = f"{url}/v1" if name == "openai" else url
    environment = {
        **os.environ, "TEST_API_BASE_URL": base, "PYTHONPATH": str(HERE), "CONFORMANCE_SDK": name,
        "CONFORMANCE_OUT": str(out), "CONFORMANCE_INSTEAD": json.dumps(instead),
    }  # fmt: skip
    extra = ("-p", "tests._alias_httpx") if name == "anthropic" else ()
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "sdk_outcomes", "-W", "default"]
    paths = [f"tests/api_resources/{suite}" for suite in SUITES[name]]
    done = subprocess.run(
        [*command, "-o", "addopts=", *extra, *paths], cwd=PLACE / name, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if not out.is_file():
        raise SystemExit(done.stdout + done.stderr)
    return {row["test"]: row for row in map(json.loads, out.read_text().splitlines())}


def _row(name: str, suite: str, asked: dict[str, Row], again: dict[str, Row], departures: tuple[Departure, ...]) -> Row:
    tests = [row for test, row in asked.items() if test.startswith(f"tests/api_resources/{suite}")]
    failed, departs = [], Counter[str]()
    for row in tests:
        if row["end"] != "failed":
            continue
        found = next((d for d in departures if re.search(d.test, row["test"])), None)
        second = again.get(row["test"], row)
        if found and row["code"] == found.code and (found.instead is None or second["end"] == "passed"):
            departs[f"{found.code}: {found.why}"] += 1
        else:
            failed.append({"test": row["test"], "said": row["said"], "again": second["said"]})
    ends = Counter(row["end"] for row in tests)
    return {
        "suite": f"{name}: {suite}", "passed": ends["passed"], "departs": departs.total(), "failed": len(failed),
        "skipped": ends["skipped"], "why": dict(departs), "failures": failed,
    }  # fmt: skip


def comply(url: str) -> list[Row]:
    rows = []
    for form, model in FORMATS.items():
        command = [PYTHON.with_name("llm-comply"), "run", "-u", f"{url}/v1", "-k", "none", "-m", model, "--json"]
        done = subprocess.run([*command, "--format", form], capture_output=True, text=True, check=False)
        results = json.loads(done.stdout)["results"]
        bad = [row for row in results if row["status"] == "failed"]
        departs = {row["id"]: d.why for row in bad for d in COMPLY if re.search(d.test, row["id"])}
        ends = Counter(row["status"] for row in results)
        failed = [row for row in bad if row["id"] not in departs]
        rows.append({
            "suite": f"llm-comply: {form}", "passed": ends["passed"], "departs": len(departs), "failed": len(failed),
            "skipped": ends["skipped"], "why": departs, "failures": failed,
        })  # fmt: skip
    return rows


def fuzz(url: str, home: Path, asked: argparse.Namespace, key: str) -> Row:
    """schemathesis for so many seconds, on all routes; without a key the document is taken without its `security`."""
    (home / "schemathesis.toml").write_text(FUZZ)
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    with urlopen(Request(f"{url}/openapi.json", headers=shown)) as response:
        document = json.load(response)
    if not key:
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            operation.pop("security")
    (home / "openapi.json").write_text(json.dumps(document))
    report, command = home / "fuzz.json", PYTHON.with_name("schemathesis")
    checks = "positive_data_acceptance" if key else "positive_data_acceptance,ignored_auth"
    with (home / "fuzz.log").open("w") as log:
        subprocess.run(
            [
                command, "--config-file", home / "schemathesis.toml", "run", home / "openapi.json", "--url", url,
                "--phases", "coverage,fuzzing", "--continue-on-failure", "--exclude-checks", checks,
                "--seed", str(asked.seed), "--max-time", str(asked.seconds), "--suppress-health-check", "all",
                "--warnings", "off", "--request-timeout", "30", "--report", "json", "--report-json-path", report,
                *(word for name, value in shown.items() for word in ("-H", f"{name}: {value}")),
            ],
            stdout=log, stderr=subprocess.STDOUT, cwd=home, check=False,
        )  # fmt: skip
    if not report.is_file():
        raise SystemExit((home / "fuzz.log").read_text())
    found = json.loads(report.read_text())
    failures = [*found["failures"], *found["errors"]]
    if failures:
        print((home / "fuzz.log").read_text(), (home / "serve.log").read_text(), sep="\n", file=sys.stderr)
    cases, how = found["test_cases"], "with a key" if key else "without a key"
    return {
        "suite": f"schemathesis: {found['operations']['tested']} operations, {how}",
        "passed": cases["generated"] - cases["with_failures"], "departs": 0, "failed": len(failures), "skipped": 0,
        "why": {"seed": found["seed"], "seconds": round(found["running_time"]), "left out": checks},
        "failures": failures,
    }  # fmt: skip


def show(rows: list[Row]) -> None:
    print("| suite | passed | departs | failed | skipped |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['suite']} | {row['passed']} | {row['departs']} | {row['failed']} | {row['skipped']} |")
    for row in rows:
        for why, count in row["why"].items():
            print(f"- {row['suite']}: {why}: {count}")
        for failure in row["failures"]:
            print(f"! {row['suite']}: {json.dumps(failure)[:600]}")


def run(*words: Any) -> None:
    subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
