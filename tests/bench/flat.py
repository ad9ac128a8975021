"""Rows of the comparison with itself as the work grows: many topics, a long backlog, many streams, slow neighbours, a day of
acknowledgements out of order, a second core. The backlog is measured once, everything else in every round. Server and load share
the cores.
"""
import contextlib
import json
import os
import signal
import subprocess
import threading
import time

from bare import row
from servers import Folder, Peer

TOPICS, STREAMS, BUSY = 10_000, 5_000, 50
SIZE = 100
# Of the load beside the slow neighbours, messages a second; one of them reads from the disk at this rate too.
STEADY = 50_000
GOOGLE = "--api=google"

# name: what, durability, target, unit ("" for a ratio), whether the target is the least, scenario.
ROWS = {
    "topics_throughput": ("load spread over 10,000 topics / the same load on one", "fsync", 0.8, "", True, "topics"),
    "topics_memory": ("memory of an idle topic with its subscription", "fsync", 4096, "bytes", False, "topics"),
    "topics_created": ("topics created with a subscription each (two calls, both counted as one)", "fsync", 2000, "/s", True, "topics"),
    "topics_ready": ("ready after a restart with 10,000 topics", "fsync", 3, "s", False, "topics"),
    "backlog_publish": ("backlog: last tenth published / first tenth", "fsync", 0.9, "", True, "backlog"),
    "backlog_drain": ("backlog: drained after a restart", "fsync", 500_000, "messages/s", True, "backlog"),
    "backlog_memory": ("backlog: most resident memory, filling or draining", "fsync", 500, "MiB", False, "backlog"),
    "backlog_disk": ("backlog: disk / payload", "fsync", 1.3, "", False, "backlog"),
    "backlog_written": ("backlog: written to disk until it is gone / payload", "fsync", 1.5, "", False, "backlog"),
    "backlog_space": ("backlog: space back after the last acknowledgement", "fsync", 60, "s", False, "backlog"),
    "backlog_ready": ("backlog: ready after a restart, the slower of a stop and a kill", "fsync", 2, "s", False, "backlog"),
    "streams_throughput": ("50 busy streams beside 4,950 idle ones / 50 alone", "fsync", 0.8, "", True, "streams"),
    "streams_memory": ("memory of an idle stream", "fsync", 25 * 1024, "bytes", False, "streams"),
    "slow_throughput": ("throughput beside one that stands still and one an hour behind / alone", "fsync", 0.95, "", True, "slow"),
    "slow_p99": ("p99 beside them / alone", "fsync", 1.2, "", False, "slow"),
    "ack_memory": ("ack state of a message held back, 864,000 of them", "memory", 100, "bytes", False, "acks"),
    # log 864,000 / log 10,000
    "ack_growth": ("an ack with 864,000 messages held back / with 10,000", "memory", 1.5, "", False, "acks"),
    "cores": ("server and four loads on two cores / on one", "os", 1.7, "", True, "cores"),
    # For a look: what gRPC makes of a second core.
    "cores_bare": ("the bare broker and four loads on two cores / on one", "memory", None, "", True, "cores"),
}


def before_and_after(server, alone, measure_other):
    """measure_other() / the throughput of the bench `alone` before and after it: a machine that others share changes meanwhile."""
    before = server.bench(*alone)["delivered_per_second"]
    other = measure_other()
    return 2 * other / (before + server.bench(*alone)["delivered_per_second"])


def topics(args):
    many = f"--topics={TOPICS}"
    with Folder(args) as folder:
        server = folder.serve()
        throughput = before_and_after(server, (GOOGLE, f"--duration={args.seconds}s"),
                                      lambda: server.bench(GOOGLE, f"--duration={args.seconds}s", many)["delivered_per_second"])
    with Folder(args) as folder:
        server = folder.serve()
        server.bench(GOOGLE, "--topics=100", "--duration=0s", "--publish-only")
        before = server.resident_mib()
        made = server.bench(GOOGLE, many, "--duration=0s", "--publish-only", "--keep")
        memory = (server.resident_mib() - before) * 1024 * 1024 / TOPICS
        ready = max(server.restart(), server.restart(signal.SIGKILL))
    return {"topics_throughput": throughput, "topics_memory": memory, "topics_created": made["topics_created_per_second"],
            "topics_ready": ready}


def seconds_until(done, most):
    began = time.monotonic()
    while not done() and time.monotonic() - began < most:
        time.sleep(0.2)
    return time.monotonic() - began


@contextlib.contextmanager
def little_page_cache(path):
    """What is written below the path leaves the page cache again. A virtual machine may get its memory from the host when it is first
    touched, and give back what is free: while the page cache grows by 6 GB, even a loop that does nothing but write and sync came down
    to half of its rate on such a machine; this way it keeps all of it."""
    done = threading.Event()

    def drop():
        while not done.wait(0.2):
            for file in path.rglob("*.journal"):
                with contextlib.suppress(FileNotFoundError), file.open("rb") as opened:
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def backlog(args):
    flags = ("--name=backlog", "--keep", f"--size={SIZE}", f"--messages={args.backlog}")
    payload = args.backlog * SIZE
    # Space is back when no more is left than segments in use: the last one, its spare, and one on its way.
    little = 256 << 20
    with Folder(args) as folder:
        server = folder.serve()
        with little_page_cache(folder.path):
            filled = server.bench(*flags, "--publish-only")
        disk = server.disk_bytes()
        memory, written = server.resident_mib("VmHWM"), server.written_bytes()
        ready = max(server.restart(), server.restart(signal.SIGKILL))
        drained = server.bench(*flags, "--receive-only")
        space = seconds_until(lambda: server.disk_bytes() < little, 120)
        memory, written = max(memory, server.resident_mib("VmHWM")), written + server.written_bytes()
    return {"backlog_publish": filled["last_tenth_per_second"] / filled["first_tenth_per_second"],
            "backlog_drain": drained["delivered_per_second"], "backlog_memory": memory, "backlog_disk": disk / payload,
            "backlog_written": written / payload, "backlog_space": space, "backlog_ready": ready}


def streams(args):
    with Folder(args) as folder:
        server = folder.serve()
        busy = (GOOGLE, f"--topics={BUSY}", f"--duration={args.seconds}s")
        server.bench(*busy)
        memory = None

        def beside_idle_ones():
            nonlocal memory
            before = server.resident_mib()
            idle = server.start_bench(GOOGLE, f"--idle-streams={STREAMS - BUSY}", f"--duration={args.seconds + 8}s")
            time.sleep(4)
            memory = (server.resident_mib() - before) * 1024 * 1024 / (STREAMS - BUSY)
            throughput = server.bench(*busy)["delivered_per_second"]
            if idle.wait() != 0:
                raise SystemExit("idle streams ended")
            return throughput
        throughput = before_and_after(server, busy, beside_idle_ones)
    return {"streams_throughput": throughput, "streams_memory": memory}


def forget_pages(folder):
    """Takes the journal out of the page cache: what was written an hour ago would not be there."""
    for file in folder.rglob("*.journal"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def slow(args):
    """A steady load, since the two neighbours need the cores too: one reads its backlog at the rate of the load."""
    old = STEADY * 4 * args.seconds
    with Folder(args) as folder:
        server = folder.serve()
        server.bench("--name=behind", "--keep", "--publish-only", f"--messages={old}")
        server.restart()
        forget_pages(folder.path)
        load = ("--topic=behind", f"--rate={STEADY}", f"--duration={args.seconds}s")
        before = server.bench(*load)
        still = server.start_bench(GOOGLE, "--topic=behind", "--idle-streams=1", "--duration=1h")
        behind = server.start_bench("--name=behind", "--receive-only", f"--messages={old}", f"--rate={STEADY}")
        time.sleep(1)
        beside = server.bench(*load)
        if still.poll() is not None or behind.poll() is not None:
            raise SystemExit("a neighbour ended too soon")
        for neighbour in (still, behind):
            neighbour.kill()
            neighbour.wait()
        after = server.bench(*load)

    def ratio(of):
        return 2 * of(beside) / (of(before) + of(after))
    return {"slow_throughput": ratio(lambda run: run["delivered_per_second"]),
            "slow_p99": ratio(lambda run: run["end_to_end_latency_us"]["p99"])}


def acks(args):
    told = subprocess.run([args.bin / "ack_bench", "--benchmark_format=json"], capture_output=True, text=True, check=True)
    runs = {run["name"]: run for run in json.loads(told.stdout)["benchmarks"]}
    few, many = (runs[f"HeldBack/{count}/in_order:1"] for count in (10_000, 864_000))
    return {"ack_memory": many["state_bytes"], "ack_growth": many["cpu_time"] / few["cpu_time"]}


def cores(args):
    """Server and loads on the same cores; several loads, as one of them could not use two, and `os`, as a disk does not get faster."""
    def throughput(server, *flags):
        loads = [server.start_bench(f"--duration={args.seconds}s", *flags) for _ in range(4)]
        return sum(json.loads(load.communicate()[0])["delivered_per_second"] for load in loads)

    def ours(cpus):
        with Folder(args) as folder:
            return throughput(folder.serve("os", prefix=("taskset", "-c", cpus)))

    def bare(cpus):
        with Peer(args.bin, "bare_broker", ("taskset", "-c", cpus)) as peer:
            return throughput(peer, GOOGLE)

    one, bare_one = ours("0"), bare("0")
    return {"cores": ours("0,1") / one, "cores_bare": bare("0,1") / bare_one}


ONCE = ("backlog",)
measured = {}


def measure(args, name):
    """Rows of one scenario are measured together, by the first of them."""
    what, durability, target, unit, at_least, scenario = ROWS[name]
    if scenario not in measured:
        measured[scenario] = [globals()[scenario](args) for _ in range(1 if scenario in ONCE else args.rounds)]
    return row(name, what, durability, [result[name] for result in measured[scenario]], unit, target, at_least)
