"""The sandbox: every attack is tried in it and, as the control, outside of it, where it must succeed."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trimtab.errors import ConfigError
from trimtab.verify import _sandbox
from trimtab.verify._sandbox import End, Job, Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can confine a program")
SECRET = "swordfish-4711"

FORKS = """
import os, time
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        time.sleep(20)
        os._exit(0)
    children.append(child)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
print("DONE")
"""
THREADS = """
import threading
for _ in range(4):
    one = threading.Thread(target=lambda: None)
    one.start()
    one.join()
print("DONE")
"""
PROGRAM = """
import subprocess
print(subprocess.run(["/bin/echo", "DONE"], capture_output=True, text=True).stdout)
"""
NATIVE_FORK = """
import ctypes, os
child = ctypes.CDLL(None).fork()
if child == 0:
    os._exit(0)
if child > 0:
    os.waitpid(child, 0)
    print("DONE")
"""
WRITES = """
with open({path!r}, "w") as file:
    file.write("x")
print("DONE")
"""
TRUNCATES = """
import os
os.truncate({secret!r}, 3)
print("DONE")
"""
REMOVES = """
import os
os.rename({secret!r}, {path!r})
print("DONE")
"""
MAKES = """
import os
os.mkdir({path!r})
print("DONE")
"""
READS = """
with open({secret!r}) as file:
    print("DONE" if "swordfish" in file.read() else "")
"""
LISTS = """
import os
print("DONE" if os.listdir({folder!r}) else "")
"""
MEMORY_FILE = """
import os
os.memfd_create("x")
print("DONE")
"""
CONNECTS = """
import socket
socket.create_connection(("127.0.0.1", {port}), timeout=3).close()
print("DONE")
"""
LISTENS = """
import socket
with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    one.listen()
print("DONE")
"""
DATAGRAM = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.sendto(b"x", ("127.0.0.1", {port}))
print("DONE")
"""
UNIX = """
import socket
with socket.socket(socket.AF_UNIX) as one:
    one.connect({unix!r})
print("DONE")
"""
KILLS = """
import os
os.kill({victim}, 0)
print("DONE")
"""
SIGNALS_BY_PIPE = """
import fcntl, os
reading, writing = os.pipe()
fcntl.fcntl(reading, fcntl.F_SETOWN, {victim})
print("DONE")
"""
PTRACES = """
import ctypes, os
libc = ctypes.CDLL(None)
if libc.ptrace(0x4206, {victim}, 0, 0) == 0:  # PTRACE_SEIZE
    print("DONE")
"""
READS_MEMORY = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
with open("/proc/{victim}/maps") as file:
    at = int(file.readline().split("-")[0], 16)
into = ctypes.create_string_buffer(16)
mine, theirs = Part(ctypes.addressof(into), 16), Part(at, 16)
if libc.process_vm_readv({victim}, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0) == 16:
    print("DONE")
"""
ENVIRONMENT = """
with open("/proc/{victim}/environ") as file:
    print("DONE" if "swordfish" in file.read() else "")
"""
RAISES_ITS_LIMITS = """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
print("DONE")
"""
NEW_NAMESPACE = """
import ctypes
print("DONE" if ctypes.CDLL(None).unshare(0x10000000) == 0 else "")
"""
ATTACKS = {name: text for name, text in vars().items() if name.isupper() and isinstance(text, str) and "DONE" in text}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What there is to attack: a secret file, two listeners, and a process of the same user."""
    folder = tmp_path_factory.mktemp("world")
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as unix:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        unix.bind(str(folder / "socket"))
        unix.listen()
        victim = subprocess.Popen(["sleep", "600"], env={"TOKEN": SECRET})
        yield {"folder": str(folder), "port": listener.getsockname()[1], "unix": str(folder / "socket"),
               "victim": victim.pid}  # fmt: skip
        victim.kill()
        victim.wait()


@pytest.fixture
def attack(world, request, tmp_path):
    secret = Path(world["folder"]) / f"secret-{request.node.name[:20].replace('/', '')}-{time.monotonic_ns()}"
    secret.write_text(SECRET)
    return ATTACKS[request.param].format(**world, secret=str(secret), path=str(tmp_path / "made"))


@pytest.fixture(params=["landlock", "bwrap"])
def walls(request, monkeypatch):
    if request.param == "bwrap":
        if not shutil.which("bwrap"):
            pytest.skip("there is no bubblewrap here")
        monkeypatch.setattr("trimtab.verify._jail.confine.landlock_version", lambda: 0)
    return request.param


async def run(code: str, tests: str = "", **limits) -> End:
    """With much time, where that is not what is tested: a machine that does other things too is slow."""
    sandbox, limits = Sandbox(2), {"seconds": 100, **limits}
    try:
        return await sandbox.run(Job(code=code, tests=tests, **limits))
    finally:
        await sandbox.close()


@pytest.mark.parametrize("attack", ATTACKS, indirect=True)
async def test_an_attack_is_stopped(attack, walls) -> None:
    end = await run(attack)
    assert "DONE" not in end.output, end
    assert end.state in ("raised", "passed", "failed"), end


@pytest.mark.parametrize("attack", ATTACKS, indirect=True)
def test_the_control_the_same_attack_succeeds_outside(attack) -> None:
    done = subprocess.run([sys.executable, "-c", attack], capture_output=True, text=True, timeout=60, check=False)
    assert "DONE" in done.stdout, done.stderr


async def test_code_passes_its_tests_or_fails_them_with_the_line(walls) -> None:
    code = "def add(a, b):\n    return a + b\n"
    assert (await run(code, "assert add(1, 2) == 3")).state == "passed"
    end = await run(code, "assert add(1, 2) == 3\nassert add(1, 2) == 4, 'not four'")
    assert (end.state, end.why) == ("failed", "the tests, line 2: AssertionError: not four")
    assert (await run(code, "from answer import add\ndef test_it():\n    assert add(0, 0) == 1")).why.startswith(
        "test_it"
    )
    cases = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.assertEqual(add(1, 1), {})"
    assert (await run(code, cases.format(2))).state == "passed"
    assert (await run(code, cases.format(3))).state == "failed"
    assert (await run("def f(:")).why.startswith("the answer: SyntaxError")


@pytest.mark.parametrize(
    ("code", "limits", "state"),
    [
        ("while True: pass", {"cpu": 1, "seconds": 60}, "cpu"),  # a busy machine gives it a second in many
        (
            "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
            {"cpu": 1, "seconds": 60},
            "cpu",
        ),
        ("import time\ntime.sleep(60)", {"seconds": 0.5}, "timeout"),
        ("x = bytearray(400 << 20)", {"memory": 128 << 20}, "memory"),
        ("x = []\nwhile True: x.append(bytes(1 << 20))", {"memory": 128 << 20}, "memory"),
        ("while True: print('x' * 1000)", {"output": 10_000}, "output"),
        ("import os\nos._exit(0)", {}, "left"),
        ("raise SystemExit(0)", {}, "raised"),
        ("import os\nos.close(1); os.close(2); os.close(3)\nimport time\ntime.sleep(60)", {"seconds": 5}, "left"),
        ("import ctypes\nctypes.string_at(0)", {}, "left"),
        ("def f(): f()\nf()", {}, "raised"),
    ],
)
async def test_what_takes_too_much_or_leaves_is_stopped(code, limits, state) -> None:
    end = await run(code, "assert True", **limits)
    assert end.state == state, end
    assert len(end.output) <= 65536


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("for _ in range(100_000): pass", {"cpu": 1}),
        ("import time\ntime.sleep(0.1)", {"seconds": 5}),
        ("x = bytearray(400 << 20)", {"memory": 800 << 20}),
        ("print('x' * 1000)", {"output": 10_000}),
        ("import asyncio\nasync def main():\n    await asyncio.sleep(0.01)\nasyncio.run(main())", {}),
        ("import json, re, decimal, xml.etree.ElementTree, html.parser, concurrent.futures", {}),
    ],
)
async def test_the_control_what_keeps_its_limits_passes(code, limits, walls) -> None:
    end = await run(code, "assert True", **limits)
    assert end.state == "passed", end


async def test_a_result_that_the_tests_did_not_write_is_none() -> None:
    forged = 'import os\nos.write(3, b\'{"state": "passed", "why": "", "token": "x"}\')\nos._exit(0)'
    assert (await run(forged, "assert False")).state != "passed"
    early = "import os\nos.write(3, b'L')\nos._exit(0)"
    assert (await run(early, "assert False")).state != "passed"
    deaf = "import os, time\nos.write(3, b'L')\ntime.sleep(60)"
    assert (await run(deaf, "assert False" + " " * 180_000, seconds=0.5)).state == "timeout"
    patched = "import json\njson.loads = json.dumps = lambda *a, **k: None\ncompile = exec = None"
    assert (await run(patched, "assert False")).state == "failed"


async def test_it_sees_no_environment_and_no_other_job(monkeypatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    sandbox = Sandbox(4)
    try:
        code = "import os\nassert set(os.environ) <= {'LC_CTYPE'}\nx = "
        jobs = [Job(code=f"{code}{i}", tests=f"assert x == {i}") for i in range(12)]
        ends = await asyncio.gather(*map(sandbox.run, jobs))
        assert {end.state for end in ends} == {"passed"}
        end = await sandbox.run(Job(code="print('x' in globals())"))
        assert end.output == "False\n"
    finally:
        await sandbox.close()


async def test_a_caller_that_leaves_ends_its_program_and_the_rest_goes_on() -> None:
    sandbox = Sandbox(1)
    try:
        await sandbox.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.run(Job(code="import time\ntime.sleep(60)", seconds=60)), 0.5)
        for _ in range(1000):
            if not _children(sandbox._process.pid):
                break
            await asyncio.sleep(0.05)
        assert not _children(sandbox._process.pid)
        assert (await sandbox.run(Job(code="x = 1", tests="assert x"))).state == "passed"
    finally:
        await sandbox.close()


async def test_the_warm_process_is_begun_anew_where_it_died_and_ends_with_its_owner() -> None:
    sandbox = Sandbox(1)
    try:
        assert (await sandbox.run(Job(code="x = 1"))).state == "passed"
        first = sandbox._process
        first.kill()
        await first.wait()
        assert (await sandbox.run(Job(code="x = 1"))).state == "passed"
        assert sandbox._process.pid != first.pid
        second = sandbox._process
    finally:
        await sandbox.close()
    with pytest.raises(ProcessLookupError):
        os.kill(second.pid, 0)


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()


@pytest.mark.parametrize(("filters", "bwrap", "why"), [(False, True, "seccomp"), (True, False, "Landlock")])
async def test_a_machine_that_confines_nothing_is_refused_clearly(monkeypatch, filters, bwrap, why) -> None:
    monkeypatch.setattr("trimtab.verify._jail.confine.can_filter", lambda: filters)
    monkeypatch.setattr("trimtab.verify._jail.confine.landlock_version", lambda: 0)
    monkeypatch.setattr(_sandbox.shutil, "which", lambda _: "/usr/bin/bwrap" if bwrap else None)
    with pytest.raises(ConfigError, match=why) as refused:
        await Sandbox(1).start()
    assert "bubblewrap" in refused.value.fix


async def test_another_system_than_linux_is_refused_clearly(monkeypatch) -> None:
    monkeypatch.setattr(_sandbox.sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="darwin"):
        await Sandbox(1).start()


async def test_walls_that_do_not_stand_are_no_sandbox(monkeypatch, tmp_path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("trimtab.verify._jail.confine.landlock_version", lambda: 0)
    monkeypatch.setattr(_sandbox.shutil, "which", lambda _: str(broken))
    with pytest.raises(ConfigError, match="uid map: Permission denied"):
        await Sandbox(1).start()
