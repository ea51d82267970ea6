"""Several "hosts" on one machine: network namespaces joined by wires with a rate and a delay, which can be cut.

Each namespace has a loopback and one TUN device, "wire". A relay process moves packets between the devices: each host sends and
receives at most at the given rate, full duplex, and each packet arrives after the given delay; what exceeds 100 ms of queue is
dropped, as by a switch. From a host that is cut off and to it packets vanish silently, as when a cable is pulled.

Needs root, the `ip` and `unshare` programs and /dev/net/tun: `require` skips a test where they are missing.

As a script it is the relay: two_hosts.py RATE_BYTES_PER_S DELAY_S NAMESPACE...; commands on its standard input: "cut I",
"mend I".
"""

import ctypes
import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

DEVICE = "wire"
MTU = 9000
PREFIX = "asrtool"  # namespaces: asrtool-PID-HOST
QUEUE_S = 0.1
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


def missing() -> str | None:
    """Why there can be no hosts here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            return f"network namespaces need the program {program}"
    if not os.path.exists("/dev/net/tun"):
        return "wires between network namespaces need /dev/net/tun"
    name = f"{PREFIX}-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"ip netns add: {made.stderr.strip()}"
    device = subprocess.run(["ip", "-n", name, "tuntap", "add", "dev", DEVICE, "mode", "tun"], capture_output=True, text=True)
    _ip("netns", "del", name)
    return f"ip tuntap add: {device.stderr.strip()}" if device.returncode != 0 else None


def require() -> None:
    """Skips the calling test where there can be no hosts; under CI=true that is a failure."""
    import pytest

    reason = missing()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


class Network:
    """The hosts, numbered from 0; `hosts` makes one."""

    def __init__(self, count: int, mbit_per_s: float, delay_ms: float) -> None:
        self.names = [f"{PREFIX}-{os.getpid()}-{host}" for host in range(count)]
        self._started: list[subprocess.Popen] = []
        self._relay: subprocess.Popen | None = None
        self.mbit_per_s, self.delay_ms = mbit_per_s, delay_ms

    def open(self) -> None:
        for host, name in enumerate(self.names):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "tuntap", "add", "dev", DEVICE, "mode", "tun")
            _ip("-n", name, "link", "set", DEVICE, "mtu", str(MTU), "txqueuelen", "2000")
            _ip("-n", name, "addr", "add", f"{self.address(host)}/24", "dev", DEVICE)
        command = [sys.executable, __file__, str(self.mbit_per_s * 1e6 / 8), str(self.delay_ms / 1e3), *self.names]
        self._relay = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()
        for name in self.names:
            _ip("-n", name, "link", "set", DEVICE, "up")

    def close(self) -> None:
        """Kills what runs in the hosts and takes them away."""
        if self._relay is not None:
            self._relay.kill()
            self._relay.communicate()
        for name in self.names:
            _remove(name)
        for process in self._started:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def address(self, host: int) -> str:
        """In a network that is reserved for documentation (RFC 5737) and exists in the namespaces only."""
        return f"192.0.2.{host + 1}"

    def environment(self, host: int) -> dict[str, str]:
        """What programs in a host need to find the others: host 0 is the master, gloo uses the wire."""
        return {"MASTER_ADDR": self.address(0), "GLOO_SOCKET_IFNAME": DEVICE, "GROUP_RANK": str(host), "OMP_NUM_THREADS": "1"}

    def start(
        self, host: int, command: Sequence[str], environment: Mapping[str, str] | None = None, **options
    ) -> subprocess.Popen:
        """Starts a program in a host, whose name is host0, host1, ...; `options` are those of subprocess.Popen."""
        inside = ["ip", "netns", "exec", self.names[host], "unshare", "--uts", "sh", "-c"]
        inside += [f'hostname host{host}; exec "$@"', "sh", *command]
        everything = {**os.environ, **self.environment(host), **(environment or {})}
        process = subprocess.Popen(inside, env=everything, **options)
        self._started.append(process)
        return process

    def run(self, host: int, command: Sequence[str], time_limit_s: float = 60.0) -> subprocess.CompletedProcess:
        """Runs a program in a host to its end; its output as text."""
        process = self.start(host, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, errors = process.communicate(timeout=time_limit_s)
        return subprocess.CompletedProcess(list(command), process.returncode, output, errors)

    def cut_off(self, host: int) -> None:
        """From now on nothing leaves the host or reaches it, and nobody is told."""
        self._tell(f"cut {host}")

    def mend(self, host: int) -> None:
        """Undoes `cut_off`; what was sent meanwhile stays lost (TCP sends it again)."""
        self._tell(f"mend {host}")

    def bytes_sent(self, host: int) -> int:
        """By the host over its wire so far, headers and repetitions included."""
        path = f"/sys/class/net/{DEVICE}/statistics/tx_bytes"
        return int(_ip("netns", "exec", self.names[host], "cat", path))

    def _tell(self, command: str) -> None:
        self._relay.stdin.write(command + "\n")
        self._relay.stdin.flush()
        self._answer()

    def _answer(self) -> None:
        if self._relay.stdout.readline().strip() != "ok":
            raise RuntimeError("the relay between the hosts has ended")


@contextmanager
def hosts(count: int = 2, mbit_per_s: float = 1000.0, delay_ms: float = 0.5) -> Iterator[Network]:
    """`count` hosts, each with `mbit_per_s` in each direction; a packet takes `delay_ms` more than its time in the queue."""
    _remove_leftovers()
    network = Network(count, mbit_per_s, delay_ms)
    try:
        network.open()
        yield network
    finally:
        network.close()


def _remove(name: str) -> None:
    processes = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(int(process), 9)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)


def _remove_leftovers() -> None:
    """Namespaces of processes that ended without a chance to clean up."""
    for entry in _ip("netns", "list").splitlines():
        name = entry.split()[0]
        parts = name.split("-")
        if parts[0] == PREFIX and len(parts) == 3 and not Path(f"/proc/{parts[1]}").exists():
            _remove(name)


class Relay:
    """The wires: one process, one loop."""

    def __init__(self, rate: float, delay_s: float, namespaces: Sequence[str]) -> None:
        self.rate, self.delay_s = rate, delay_s
        self.devices = [_open_device(name) for name in namespaces]
        count = len(self.devices)
        self.up_free = [0.0] * count  # when the host's sending side has sent all that it has taken
        self.down_free = [0.0] * count
        self.under_way: list[deque[tuple[float, bytes]]] = [deque() for _ in range(count)]  # by receiving host
        self.cut: set[int] = set()

    def run(self) -> None:
        commands = sys.stdin.fileno()
        os.set_blocking(commands, False)
        while True:
            due = min((queue[0][0] for queue in self.under_way if queue), default=None)
            wait = None if due is None else max(0.0, due - time.monotonic())
            readable, _, _ = select.select([*self.devices, commands], [], [], wait)
            if commands in readable and not self._obey(os.read(commands, 4096).decode()):
                return
            for source, device in enumerate(self.devices):
                if device in readable:
                    self._take(source, device)
            self._deliver()

    def _obey(self, text: str) -> bool:
        for line in text.splitlines():
            verb, host = line.split()
            (self.cut.add if verb == "cut" else self.cut.discard)(int(host))
            print("ok", flush=True)
        return bool(text)

    def _take(self, source: int, device: int) -> None:
        """Reads what the host has sent."""
        for _ in range(64):
            try:
                packet = os.read(device, MTU)
            except BlockingIOError:
                return
            target = packet[19] - 1 if packet[0] >> 4 == 4 else -1  # the last byte of the address it goes to
            if not 0 <= target < len(self.devices) or source in self.cut or target in self.cut:
                continue
            now = time.monotonic()
            begin = max(now, self.up_free[source])
            if max(begin, self.down_free[target]) - now > QUEUE_S:
                continue
            self.up_free[source] = begin + len(packet) / self.rate
            self.down_free[target] = max(self.up_free[source], self.down_free[target] + len(packet) / self.rate)
            self.under_way[target].append((self.down_free[target] + self.delay_s, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        for target, queue in enumerate(self.under_way):
            while queue and queue[0][0] <= now:
                _, packet = queue.popleft()
                if target not in self.cut:
                    with suppress(OSError):  # the device is down
                        os.write(self.devices[target], packet)


def _open_device(namespace: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return device


if __name__ == "__main__":
    os.nice(-15)  # wires do not wait for processors
    relay = Relay(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    print("ok", flush=True)
    relay.run()
