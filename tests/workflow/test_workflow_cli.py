"""`trimtab run` and `trimtab flow` as a user meets them, and the flows that ship, without a key and with a model."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trimtab.cli import app

TRIMTAB = Path(sys.executable).with_name("trimtab")
TICKETS = (
    {"id": 1, "text": "My card still hasn't arrived, it's been two weeks. What's going on?"},
    {"id": 2, "text": "When is the Quay Street branch open on Saturday?"},
    {"id": 3, "text": "Somebody made a payment of £250.00 that I did not make! My email is jo@example.com"},
    {"id": 4, "text": "Please write a poem about whales."},
)
INVOICE = """Baker & Sons Ltd
Invoice No: INV-2026/0042
Invoice date: 12 March 2026
Due date: 11 April 2026
Subtotal: £1,100.00
VAT (20%): £220.00
Total: £1,320.00
IBAN: GB33BUKB20201555555555
"""
READ = {
    "number": "INV-2026/0042", "date": "2026-03-12", "due": "2026-04-11", "currency": "GBP", "net": "1100.00",
    "tax": "220.00", "total": "1320.00", "iban": "GB33BUKB20201555555555",
}  # fmt: skip
RECIPE = """[route]
kind = "rules"
[[model]]
kind = "code"
[approve]
kind = "policy"
[discover]
environment = false
loopback = false
"""
SLOW = """
import time
from pathlib import Path
from trimtab.workflow.steps import Bounds, Call, Flow

def act(n, key):
    with Path("done").open("a") as file:
        file.write(f"{n}\\n")
    while not Path("go").exists():
        time.sleep(0.01)

flow = Flow(name="slow", limits=Bounds(concurrency=1), steps=(
    Call(name="act", function="act", effect=True, arguments={"n": "{input.n}"}),
))
"""


class Shell:
    """Runs the command in a folder and a home of its own; the starter as it ships, but for loopback."""

    def __init__(self, folder):
        self.folder = folder
        home = {"TRIMTAB_HOME": str(folder / "home"), "HOME": str(folder), "PATH": os.environ["PATH"]}
        self.env = home | {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}

    def __call__(self, *words, code=0, **env):
        command = [str(word) for word in (TRIMTAB, *words)]
        done = subprocess.run(command, cwd=self.folder, env=self.env | env, capture_output=True, text=True, check=False)
        assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def lines(self, *items, name="input.jsonl"):
        path = self.folder / name
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        return path


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


def test_triage_answers_what_can_be_trusted_and_hands_over_the_rest(shell, here, monkeypatch):
    path = shell.lines(*TICKETS)
    said = parsed(shell("run", "triage", path, code=4).stdout)
    arrival, hours, fraud, poem = said
    assert (arrival["state"], arrival["result"]["intent"], arrival["result"]["answered_by"]) == (
        "done", "card_arrival", "skill",
    )  # fmt: skip
    assert hours["result"]["answered_by"] == "reader"
    assert "9:30 to 13:00" in hours["result"]["citations"][0]["quote"]
    assert fraud["state"] == poem["state"] == "waiting"
    assert all(one["cost_usd"] == "0.000000000" for one in said)
    monkeypatch.setenv("TRIMTAB_HOME", shell.env["TRIMTAB_HOME"])
    assert len(parsed(here("approvals", "list", "--json")[1])) == 2
    for one, answer in ((fraud, "We have blocked the card."), (poem, "We write no poems.")):
        assert here("approvals", "approve", one["tickets"][0], "--answer", answer, "--by", "ann")[0] == 0
    (shell.folder / "out").mkdir()
    again = shell("run", "triage", path, "--resume", "--out", "out/said.jsonl", "--json")
    assert json.loads(again.stdout)["run"]["done"] == 4
    said = parsed((shell.folder / "out" / "said.jsonl").read_text())
    assert said[2]["result"]["urgency"] == "high"
    assert said[2]["result"]["amounts"] == ["250.00"]
    assert said[2]["result"]["personal"]["EMAIL"] == ["jo@example.com"]
    assert (said[2]["result"]["answer"], said[2]["result"]["released_by"]) == ("We have blocked the card.", "ann")
    listed = here("flow", "list")[1]
    assert "over" in listed
    assert "4 done" in listed
    (run,) = parsed(here("flow", "list", "--json")[1])
    assert "done" in here("flow", "status", run["run"]["id"][:12])[1]
    assert here("flow", "forget", run["run"]["id"])[0] == 0
    assert here("flow", "list")[1] == ""


def test_invoices_are_copied_where_that_is_sure_else_a_person_writes_what_fits(shell, here, monkeypatch):
    path = shell.lines({"text": INVOICE}, {"text": INVOICE.replace("220.00", "200.00")}, {"text": "Hello"})
    sure, wrong, nothing = parsed(shell("run", "invoices", path, code=4).stdout)
    assert sure["result"]["invoice"] == READ
    assert sure["result"]["by"] == "copied"
    assert wrong["state"] == nothing["state"] == "waiting"
    monkeypatch.setenv("TRIMTAB_HOME", shell.env["TRIMTAB_HOME"])
    shown = here("approvals", "show", wrong["tickets"][0])[1]
    assert "copied.total is the sum of copied.net + copied.tax" in shown
    assert here("approvals", "approve", wrong["tickets"][0], "--answer", json.dumps(READ))[0] == 0
    assert here("approvals", "deny", nothing["tickets"][0])[0] == 0
    said = parsed(shell("run", "invoices", path, "--resume", code=1).stdout)
    assert said[1]["result"]["invoice"] == READ
    assert said[1]["result"]["by"] == "person"
    assert said[2]["error"]["code"] == "denied"


@pytest.fixture
def large():
    """A mock of a large model: it makes its replies from the request, or is told them by it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    mock = subprocess.Popen([TRIMTAB, "mock", "--port", str(port), "--json"], stdout=subprocess.PIPE)
    json.loads(mock.stdout.readline())
    for _ in range(1000):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/v1#mock"
    mock.terminate()
    mock.wait(20)
    mock.stdout.close()


def test_with_a_large_model_what_it_says_is_held_to_the_text(shell, large):
    """The text makes the copying unsure (the total is said twice); the model's word is taken only where it fits."""
    text = INVOICE + "Total: £1,320.01\n"
    told = {"mock": {"reply": json.dumps(READ)}}
    folder = Path(__file__).parents[2] / "src" / "trimtab" / "recipes" / "invoices"
    own = (
        (folder / "flow.toml").read_text().replace('models = ["large"]', f'models = ["large"]\nparams = {inline(told)}')
    )
    (shell.folder / "told.toml").write_text(own)
    (said,) = parsed(shell("run", "told.toml", shell.lines({"text": text}), TRIMTAB_LARGE=large).stdout)
    assert said["result"]["by"] == "large"
    assert said["result"]["invoice"] == READ
    (said,) = parsed(
        shell("run", "invoices", shell.lines({"text": text}, name="b.jsonl"), TRIMTAB_LARGE=large, code=4).stdout
    )
    assert said["state"] == "waiting", "what the mock makes up does not stand in the text"


def inline(value):
    """A TOML inline table of texts."""
    return (
        "{ "
        + ", ".join(f"{k} = {inline(v) if isinstance(v, dict) else json.dumps(v)}" for k, v in value.items())
        + " }"
    )


def test_with_a_large_model_triage_asks_it_what_the_skill_does_not_know(shell, large):
    path = shell.lines(TICKETS[3])
    (said,) = parsed(shell("run", "triage", path, TRIMTAB_LARGE=large).stdout)
    assert said["result"]["answered_by"] == "large"
    assert said["result"]["intent_by_model"]


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """The command in this process: its code, what it said, and its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*words):
        code = app.run([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def test_wrong_words_say_what_to_do(shell, here):
    path = shell.lines({"n": 1})
    (shell.folder / "recipe.toml").write_text(RECIPE)
    (shell.folder / "bad.toml").write_text('[[step]]\nname = "a"\nkind = "set"\nnext = "b"\n')
    (shell.folder / "fine.toml").write_text('recipe = "recipe.toml"\n[[step]]\nname = "a"\nkind = "set"\n')
    for words, why in (
        (("flow", "list"), "Nothing was recorded yet"),
        (("run", "nothing", path), "invoices, triage"),
        (("run", "fine.toml", "gone.jsonl"), "cannot be read"),
        (("run", "bad.toml", path), "which is not there"),
        (("run", "fine.toml", path, "--out", "gone/out"), "cannot be written"),
        (("run", "fine.toml", path, "--resume", "--again"), "give one"),
        (("run", "fine.toml", path, "-r", "nobody"), "no recipe"),
        (("flow", "show", "nothing"), "invoices, triage"),
        (("flow", "status", "run_1", "-r", "recipe.toml"), "There is no run"),
    ):
        code, _, said = here(*words)
        assert (code, why in said) == (2, True), (words, code, said)
    (shell.folder / "empty.jsonl").write_text("\n")
    code, _, said = here("run", "fine.toml", str(shell.folder / "empty.jsonl"))
    assert (code, said.strip().endswith(": the input has no line")) == (0, True), said
    assert json.loads(here("run", "nothing", path, "--json")[1])["error"]["code"] == "configuration_error"


def test_the_flows_that_ship_are_listed(here):
    rows = parsed(here("recipes", "--json")[1])
    assert {row["name"]: row["kind"] for row in rows} == {"starter": "system", "invoices": "flow", "triage": "flow"}
    assert all(row["description"] and Path(row["path"]).is_file() for row in rows)


def test_a_flow_is_drawn(here):
    assert "intent_by_model" in here("flow", "show", "triage")[1]
    assert here("flow", "show", "triage", "--mermaid")[1].startswith("flowchart TD")
    assert here("flow", "show", "invoices", "--svg")[1].startswith("<svg")
    assert json.loads(here("flow", "show", "invoices", "--json")[1])["flow"]["name"] == "invoices"


def test_an_interrupt_ends_after_the_step_and_a_kill_goes_on_where_it_was(shell):
    (shell.folder / "recipe.toml").write_text(RECIPE)
    (shell.folder / "slow.py").write_text(SLOW)
    path = shell.lines(*({"n": n} for n in range(6)))
    command = [TRIMTAB, "run", "slow.py", path, "-r", "recipe.toml"]
    done, go, said = (shell.folder / name for name in ("done", "go", "said"))
    for sign, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        before = len(done.read_text().split()) if done.exists() else 0
        words = [str(word) for word in command + (["--resume"] if before else [])]
        with said.open("w") as stderr:
            started = subprocess.Popen(words, cwd=shell.folder, env=shell.env, stdout=-3, stderr=stderr)
        while not done.exists() or len(done.read_text().split()) <= before:
            assert started.poll() is None
            time.sleep(0.02)
        started.send_signal(sign)
        while sign == signal.SIGINT and "Ending after the steps" not in said.read_text():
            time.sleep(0.02)
        if sign == signal.SIGINT:
            go.touch()  # the step comes to its end
        assert started.wait(20) == code
        go.unlink(missing_ok=True)
    go.touch()
    assert "not over" in shell(*command[1:], code=2).stderr
    states = [one["state"] for one in parsed(shell(*command[1:], "--resume", code=4).stdout)]
    assert states.count("waiting") == 1, "the one that was killed in the middle of its effect"
    acted = done.read_text().split()
    assert len(acted) == len(set(acted)) >= 5
