"""Servers for the benchmarks, each on free ports, and the loads of `sluice bench` on them."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time


class Loaded:
    """What can be put under load: it has `bin` and `address`, and is stopped at the end of a `with`. What is in `prefix` goes before
    every command (taskset, say), what is in `client_flags` behind it."""

    prefix = ()
    client_flags = ()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def command(self, *words):
        return [*self.prefix, self.bin / "sluice", f"--server={self.address}", *words, *self.client_flags]

    def bench(self, *flags):
        """What `sluice bench` tells; a message that was lost or came twice ends the program."""
        done = subprocess.run(self.command("bench", "--output=json", *flags), capture_output=True, text=True)
        if not done.stdout:
            raise SystemExit(f"bench {' '.join(flags)}: {done.stderr}")
        out = json.loads(done.stdout)
        if done.returncode != 0 or out["lost"] or out["duplicates"] or out["unknown"]:
            raise SystemExit(f"bench {' '.join(flags)}: {out} {done.stderr}")
        return out

    def start_bench(self, *flags):
        return subprocess.Popen(self.command("bench", "--output=json", *flags), stdout=subprocess.PIPE, text=True)


class Server(Loaded):
    """A sluiced over a folder of its own, with more `flags` if need be. Restarting keeps the gRPC port."""

    def __init__(self, bin_dir, data_dir, durability="fsync", prefix=(), flags=(), client_flags=()):
        self.bin, self.data, self.durability, self.prefix = bin_dir, data_dir, durability, prefix
        self.flags, self.client_flags = flags, client_flags
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        log = self.data / "log"
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*self.prefix, self.bin / "sluiced", f"--listen={self.address}", "--http=127.0.0.1:0", f"--data-dir={self.data / 'store'}",
             f"--durability={self.durability}", *self.flags], stdout=log.open("w"), stderr=subprocess.STDOUT)
        while " ready " not in log.read_text():
            if self.process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.005)
        self.seconds_to_ready = time.monotonic() - began
        ready = next(line for line in log.read_text().splitlines() if " ready " in line)
        self.address = next(field[5:] for field in ready.split() if field.startswith("grpc="))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()

    def restart(self, how=signal.SIGTERM):
        """Returns how many seconds it took to be ready again."""
        self.stop(how)
        self.start()
        return self.seconds_to_ready

    def resident_mib(self, field="VmRSS"):
        """What it has in memory; with "VmHWM" the most it ever had."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) / 1024

    def written_bytes(self):
        """What it has had the kernel write to disks."""
        counts = pathlib.Path(f"/proc/{self.process.pid}/io").read_text()
        return int(next(line for line in counts.splitlines() if line.startswith("write_bytes")).split()[1])

    def disk_bytes(self):
        """What its store takes."""
        return sum(file.stat().st_blocks * 512 for file in (self.data / "store").rglob("*") if file.is_file())

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Folder:
    """A folder that goes when the block ends, with the servers over it."""

    def __init__(self, args):
        self.args, self.servers = args, []

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=self.args.data))
        return self

    def serve(self, durability="fsync", bin_dir=None, **more):
        self.servers.append(Server(bin_dir or self.args.bin, self.path, durability, **more))
        return self.servers[-1]

    def __exit__(self, *_):
        for server in self.servers:
            server.stop(signal.SIGKILL)
        shutil.rmtree(self.path)


class Peer(Loaded):
    """A server that does nothing but its protocol: bare_broker.cc, counting_stream.cc. It prints its port."""

    def __init__(self, bin_dir, program, prefix=()):
        self.process = subprocess.Popen([*prefix, bin_dir / program], stdout=subprocess.PIPE, text=True)
        self.bin, self.prefix, self.address = bin_dir, prefix, f"127.0.0.1:{self.process.stdout.readline().strip()}"

    def stop(self):
        self.process.kill()
        self.process.wait()
