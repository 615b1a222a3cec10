"""*Local only* counted in packets: a gateway in a network of its own, whose only way out is an interface that we read.

With a positive control: the same gateway, asked without the wish, is seen to look up a name and to dial an address.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INSIDE = '''
import fcntl, http.client, json, os, socket, struct, subprocess, sys, threading, time
from pathlib import Path

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS = 0x8916, 0x891C, 0x8914
packets = []

def request(name, *rest):
    return struct.pack("16s", name.encode()) + b"".join(rest) + b"\\0" * 16

def address(text):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))

def up():
    """Loopback, and a way out for all addresses from 128.0.0.0 on: what is sent there comes to us."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"out0", IFF_TUN | IFF_NO_PI))
    Path("/proc/sys/net/ipv6/conf/out0/disable_ipv6").write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, request("lo", struct.pack("H", 1)))
        fcntl.ioctl(control, SIOCSIFADDR, request("out0", address("203.0.113.1")))
        fcntl.ioctl(control, SIOCSIFNETMASK, request("out0", address("128.0.0.0")))
        fcntl.ioctl(control, SIOCSIFFLAGS, request("out0", struct.pack("H", 1)))
    def read():
        while True:
            packets.append(os.read(tun, 65536))
    threading.Thread(target=read, daemon=True).start()

def seen():
    """Protocol and target of what came since the last time."""
    time.sleep(0.3)
    found = [(packet[9], socket.inet_ntoa(packet[16:20])) for packet in packets]
    packets.clear()
    return found

def asked(url, text, **trimtab):
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    body = {"messages": [{"role": "user", "content": text}], "trimtab": trimtab}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    said = connection.getresponse()
    decoded = json.loads(said.read())
    return said.status, (decoded.get("trimtab") or {}).get("answered_by")

up()
Path(sys.argv[1], "resolv.conf").write_text("nameserver 203.0.113.53\\noptions timeout:1 attempts:1\\n")
subprocess.run(["mount", "--bind", Path(sys.argv[1], "resolv.conf"), "/etc/resolv.conf"], check=True)
from trimtab import settings
from trimtab.server.serving import background
with background(settings.load(Path(sys.argv[1]), {"TRIMTAB_HOME": sys.argv[1], "HOME": sys.argv[1]})) as url:
    rows = {"start": ((200, None), seen())}
    rows["a local answer"] = (asked(url, "What is 15% of 240?"), seen())
    rows["local only"] = (asked(url, "Write a poem about the sea.", limits={"where": "local"}), seen())
    rows["personal data"] = (asked(url, "Write to jane.doe@example.com about the sea."), seen())
    rows["anything"] = (asked(url, "Write a poem about the sea."), seen())
json.dump(rows, sys.stdout)
'''
RECIPE = """
name = "inside"
[server]
port = 0
[[guard]]
kind = "pii"
action = "local"
[[model]]
kind = "code"
[[model]]
kind = "openai_http"
name = "named"
url = "https://models.example/v1"
model = "m"
connect = 2.5
retries = 0
[[model]]
kind = "openai_http"
name = "numbered"
url = "http://203.0.113.7/v1"
model = "m"
connect = 0.5
first_byte = 0.5
retries = 0
"""
ALONE = ["unshare", "--net", "--mount"]


def test_what_is_to_stay_inside_sends_no_packet_out(tmp_path: Path) -> None:
    if not shutil.which("unshare") or not Path("/dev/net/tun").exists():
        pytest.skip("no unshare or no /dev/net/tun here")
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel or this user may not make a network of its own")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    ran = subprocess.run(
        [*ALONE, sys.executable, "-c", INSIDE, tmp_path], capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    rows = json.loads(ran.stdout)
    sent = {name: row[1] for name, row in rows.items()}
    assert [sent[name] for name in ("start", "a local answer", "local only", "personal data")] == [[], [], [], []]
    assert rows["a local answer"][0] == [200, "code"]
    assert rows["local only"][0][0] == rows["personal data"][0][0] == 503
    tcp, udp = 6, 17
    assert [udp, "203.0.113.53"] in sent["anything"], "the control: a name is looked up"
    assert [tcp, "203.0.113.7"] in sent["anything"], "the control: an address is dialled"
