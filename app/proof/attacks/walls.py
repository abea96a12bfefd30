"""Getting out, or finding out: networks, the engine, and what tells of the host."""

from __future__ import annotations

import os

from app.proof.attack import Attack, require
from app.proof.ground import Ground

REACH_OUT = """
import json, os, socket
INET, INET6, TCP, UDP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
def reached(family, kind, address):
    try:
        with socket.socket(family, kind) as tried:
            tried.settimeout(1)
            tried.connect(address)
            tried.send(b"x")
            return True
    except OSError:
        return False
targets = [(INET, TCP, ("1.1.1.1", 443)), (INET, UDP, ("8.8.8.8", 53)), (INET, TCP, ("169.254.169.254", 80)),
           (INET, TCP, ("172.17.0.1", 2375)), (INET, UDP, ("255.255.255.255", 67)), (INET, UDP, ("224.0.0.251", 5353)),
           (INET6, TCP, ("2606:4700:4700::1111", 443)), (INET6, UDP, ("ff02::1", 9))]
found = [str(target[2]) for target in targets if reached(*target)]
try:
    found.append(socket.getaddrinfo("example.com", 80)[0][4][0])
except OSError:
    pass
links = [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]]
os.write(3, json.dumps([found, len(targets) + 1, links]).encode())
"""


async def network(ground: Ground) -> str:
    async with ground.box() as box:
        reached, tried, links = (await box.run(REACH_OUT)).answer
        seen = (await box.usage()).network_attempts
    require(not reached, f"reached {', '.join(reached)}")
    require(set(links) <= {"lo"}, f"it has the interfaces {', '.join(links)}")
    counted = "" if seen is None else f"; the host's kernel counted {seen} that found no way"
    return f"{tried} ways tried, none led out; the only interface is loopback{counted}"


SOCKETS = """
import json, os, socket
kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
def made(family, kind, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
        return True
    except OSError:
        return False
families = [family for family in range(64) if any(made(family, kind) for kind in kinds)]
netlink = [protocol for protocol in range(1, 23) if made(16, socket.SOCK_RAW, protocol)]
os.write(3, json.dumps([families, netlink]).encode())
"""


async def sockets(ground: Ground) -> str:
    families, netlink = await ground.answer(SOCKETS)
    more = sorted(set(families) - {1, 2, 10, 16})
    require(not more, f"sockets of the families {more} can be made")
    require(not netlink or ground.gvisor, f"netlink protocols {netlink} can be opened")
    if netlink:
        return f"unix, IPv4, IPv6 and netlink (protocols {netlink} too), all of gVisor's own kernel"
    return "of 64 families only unix, IPv4, IPv6 and netlink's routes; no vsock, no kernel crypto, no packets"


ENGINE = """
import glob, json, os, socket, stat
found = []
for pattern in ("/run/*.sock", "/run/*/*.sock", "/var/run/*.sock", "/var/run/*/*.sock"):
    for path in glob.glob(pattern):
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(1)
            if tried.connect_ex(path) == 0:
                found.append(path)
abstract = [line.split()[-1] for line in open("/proc/net/unix").read().splitlines()[1:] if "@" in line]
os.write(3, json.dumps([found, abstract]).encode())
"""


async def engine(ground: Ground) -> str:
    found, abstract = await ground.answer(ENGINE)
    require(not found, f"connected to {', '.join(found)}")
    require(not abstract, f"sees the abstract sockets {', '.join(abstract)}")
    return "no engine's socket inside, by path or by name"


DEVICES = """
import json, os, stat
def opens(path):
    try:
        os.close(os.open(path, os.O_RDWR))
        return True
    except OSError:
        return False
found = []
for folder, _, names in os.walk("/dev"):
    for name in names:
        path = os.path.join(folder, name)
        mode = os.lstat(path).st_mode
        if stat.S_ISBLK(mode):
            found.append(path)
        elif stat.S_ISCHR(mode):
            reaches = name in ("mem", "kmem", "port", "kvm", "fuse", "kmsg") or path.startswith("/dev/net")
            found += [path] if reaches and opens(path) else []
for kind, major, minor in ((stat.S_IFBLK, 8, 0), (stat.S_IFCHR, 1, 1)):
    try:
        os.mknod("/tmp/device", kind | 0o600, os.makedev(major, minor))
        os.close(os.open("/tmp/device", os.O_RDONLY))
        found.append("a device of its own making")
    except OSError:
        pass
os.write(3, json.dumps(found).encode())
"""


async def devices(ground: Ground) -> str:
    found = await ground.answer(DEVICES)
    require(not found or ground.gvisor, f"it can open {', '.join(found)}")
    if found:
        return f"no disk, no memory; {', '.join(found)} are of gVisor's own making and lead nowhere"
    return "no disk, no memory, no tunnel, none of its own making"


TELLS = """
import json, os, socket
def text(path):
    try:
        with open(path, errors="replace") as file:
            return file.read(200_000)
    except OSError:
        return ""
told = {path: text(path) for path in ("/proc/self/mountinfo", "/proc/self/cgroup", "/etc/resolv.conf", "/etc/hosts",
        "/etc/hostname", "/proc/1/environ", "/proc/interrupts", "/proc/keys", "/proc/timer_list", "/proc/cmdline")}
told["environment"] = "\\n".join(f"{name}={value}" for name, value in os.environ.items())
told["hostname"] = socket.gethostname()
os.write(3, json.dumps(told).encode())
"""


async def tells(ground: Ground) -> str:
    """What would tell of the host: its name, its resolver, its folders, the container's place in it."""
    async with ground.box() as box:
        told = (await box.run(TELLS)).answer
        container = box.sandbox.id
    found = []
    for where, text in told.items():
        shown = str(text)
        found += [f"the container's id in {where}"] * (container[:12] in shown)
        found += [f"this host's name in {where}"] * (len(os.uname().nodename) > 3 and os.uname().nodename in shown)
        found += [f"a folder of the engine in {where}"] * any(
            word in shown for word in ("/docker/", "/var/lib/docker", "/overlay2/", "/containerd/")
        )
    nameservers = {line.split()[1] for line in str(told["/etc/resolv.conf"]).splitlines() if "nameserver" in line}
    found += ["the host's resolver"] * bool(nameservers - {"127.0.0.1"})
    found += [f"{path} can be read" for path in ("/proc/interrupts", "/proc/keys", "/proc/timer_list") if told[path]]
    # The mount table cannot be hidden from a process without hiding its own mounts: not promised, and said so.
    table = [each for each in found if each.endswith("mountinfo")]
    require(table == found, f"it sees {'; '.join(each for each in found if each not in table)}")
    shown = f". Not promised, and seen: {'; '.join(table)}" if table else ""
    return f"no name, resolver, environment or interrupts of the host{shown}"


ATTACKS = (
    Attack(
        name="network",
        title="Reach a network: internet, metadata, engine, broadcast, names",
        should="no packet leaves the sandbox",
        play=network,
    ),
    Attack(
        name="sockets",
        title="Open sockets that reach the hypervisor or the kernel",
        should="unix, IP and netlink's routes only",
        play=sockets,
    ),
    Attack(
        name="engine",
        title="Find the container engine's socket",
        should="nothing answers",
        play=engine,
    ),
    Attack(
        name="devices",
        title="Open or make devices of the host",
        should="none can be opened",
        play=devices,
    ),
    Attack(
        name="host-told",
        title="Learn of the host from what the kernel shows",
        should="no name, resolver, environment or interrupts",
        play=tells,
    ),
)
