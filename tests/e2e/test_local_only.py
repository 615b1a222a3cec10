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
import ctypes, fcntl, http.client, json, os, socket, struct, subprocess, sys, threading, time
from pathlib import Path

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SIOCSIFADDR, SIOCSIFFLAGS, SIOCADDRT = 0x8916, 0x8914, 0x890B
packets = []

def request(name, *rest):
    return struct.pack("16s", name.encode()) + b"".join(rest) + b"\\0" * 16

def address(text):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))

def up():
    """Loopback, and one way out for all other addresses, of IPv6 too: what is sent there comes to us."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"out0", IFF_TUN | IFF_NO_PI))
    for setting, value in (("accept_dad", 0), ("router_solicitations", 0), ("addr_gen_mode", 1)):
        Path(f"/proc/sys/net/ipv6/conf/out0/{setting}").write_text(str(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, request("lo", struct.pack("H", 1)))
        fcntl.ioctl(control, SIOCSIFADDR, request("out0", address("203.0.113.1")))
        fcntl.ioctl(control, SIOCSIFFLAGS, request("out0", struct.pack("H", 1)))
        name, every = ctypes.create_string_buffer(b"out0"), address("0.0.0.0")
        device, rtentry = ctypes.addressof(name), "@L16s16s16sHhLPhPLLH"
        fcntl.ioctl(control, SIOCADDRT, struct.pack(rtentry, 0, every, every, every, 1, 0, 0, 0, 0, device, 0, 0, 0))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:  # ::/1, in which all global addresses are
        own = socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sIi", own, 1, socket.if_nametoindex("out0")))
    threading.Thread(target=read, args=(tun,), daemon=True).start()

def read(tun):
    while True:
        packets.append(os.read(tun, 65536))

def seen():
    """Protocol and target of what came since the last time, but for what the kernel says to all routers of a link."""
    time.sleep(0.3)
    found = [
        (packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40])) if packet[0] >> 4 == 6
        else (packet[9], socket.inet_ntoa(packet[16:20]))
        for packet in packets
    ]
    packets.clear()
    return [(protocol, target) for protocol, target in found if not target.startswith("ff02:")]

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
[[model]]
kind = "openai_http"
name = "low"
url = "http://100.64.0.7/v1"
model = "m"
connect = 0.5
first_byte = 0.5
retries = 0
[[model]]
kind = "openai_http"
name = "six"
url = "http://[2001:db8::7]/v1"
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
    for target in ("203.0.113.7", "100.64.0.7", "2001:db8::7"):
        assert [tcp, target] in sent["anything"], "the control: an address is dialled"
