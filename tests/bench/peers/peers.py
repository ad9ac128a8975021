"""Other brokers, each on free ports of 127.0.0.1 over a temporary folder, and the loads of their own clients on them.

    tools = prepare(cache_dir)
    peer = Nats(tools, folder, sync_always=True)
    peer.bench("--duration=3s")                              # as `sluice bench --output=json` tells it
    peer.stop()

A peer that is not installed is MISSING; what is started are programs of this machine and of the Go modules that go.sum names.
"""
import glob
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
NATS_SERVER = "2.15.2"
EMULATOR = "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"


class Missing(Exception):
    """The peer is not installed."""


def prepare(cache_dir):
    """Builds the load and nats-server into the folder: most of a minute the first time, and a second when they are there."""
    tools = pathlib.Path(cache_dir).resolve()
    tools.mkdir(parents=True, exist_ok=True)
    go = ["bash", "-c", f'source "{HERE.parents[1] / "support/newer_go.sh"}" && exec go "$@"', "go"]
    subprocess.run([*go, "build", "-buildvcs=false", "-o", tools / "load", "."], cwd=HERE, check=True)
    subprocess.run([*go, "install", f"github.com/nats-io/nats-server/v2@v{NATS_SERVER}"], cwd=tools, check=True,
                   env={**os.environ, "GOBIN": str(tools)})
    return tools


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer:
    """What is started with a log in its folder. `load` is what the load is told besides the flags, `durability` one line."""

    environment = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def launch(self, folder, command, is_ready):
        self.log = folder / "log"
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log.open("w"), stderr=subprocess.STDOUT,
                                        env={**os.environ, **self.environment})
        while not is_ready():
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.01)

    def bench(self, *flags):
        return result_of([self.tools / "load", *flags, *self.load, self.address], self.environment)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def result_of(command, environment={}):
    """What the load printed; losses and duplicates are for the caller to look at."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if not done.stdout:
        raise SystemExit(f"{command}: {done.stderr}")
    return json.loads(done.stdout)


class Nats(Peer):
    """JetStream with file storage. Its own default is to sync every two minutes.

    Server and load have half of the cores each: left to Go, which gives all to both, 10 to 15 % fewer messages come through."""

    environment = {"GOMAXPROCS": str(max(1, os.cpu_count() // 2))}

    def __init__(self, tools, folder, sync_always=False):
        self.tools = tools
        self.load = ("--atomic", "nats") if sync_always else ("nats",)
        interval = "always" if sync_always else "2m"
        self.durability = f"JetStream file, sync_interval {interval}, nats-server {NATS_SERVER}"
        config = folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder}"\n'
                          f'jetstream {{ store_dir: "{folder}", sync_interval: "{interval}" }}\n')
        self.launch(folder, [tools / "nats-server", "-c", config], lambda: "Server is ready" in self.log.read_text())
        ports = folder / f"nats-server_{self.process.pid}.ports"
        while not ports.exists() or not ports.read_text():
            time.sleep(0.01)
        self.address = json.loads(ports.read_text())["nats"][0].removeprefix("nats://")


class Redis(Peer):
    """Streams in an append-only file; no snapshots and no rewriting of the file, which would only take from the load."""

    load = ("redis",)

    def __init__(self, tools, folder, fsync="everysec"):
        if not shutil.which("redis-server"):
            raise Missing("redis-server")
        self.tools, port = tools, free_port()
        self.address = f"127.0.0.1:{port}"
        version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout.split("v=")[1].split()[0]
        self.durability = f"appendonly yes, appendfsync {fsync}, redis-server {version}"
        settings = {"bind": "127.0.0.1", "port": port, "dir": folder, "appendonly": "yes", "appendfsync": fsync, "save": "",
                    "auto-aof-rewrite-percentage": 0}
        command = ["redis-server", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]
        self.launch(folder, command, lambda: "Ready to accept connections" in self.log.read_text())


class Emulator(Peer):
    """Google's Pub/Sub emulator, under the load of `sluice bench --api=google`. It keeps everything in memory."""

    def __init__(self, bin_dir, folder):
        jars = sorted(glob.glob(EMULATOR))
        if not jars or not shutil.which("java"):
            raise Missing("the Pub/Sub emulator")
        self.bin, port = bin_dir, free_port()
        self.address = f"127.0.0.1:{port}"
        self.durability = f"in memory, emulator {jars[-1].rsplit('emulator-', 1)[1].removesuffix('-all.jar')}"
        self.launch(folder, ["java", "-jar", jars[-1], "--host=127.0.0.1", f"--port={port}"],
                    lambda: "Server started" in self.log.read_text())

    def bench(self, *flags):
        return result_of([self.bin / "sluice", f"--server={self.address}", "bench", "--output=json", "--api=google", *flags])
