"""Rows of the comparison that need nothing but this repository: sluiced beside a broker that does nothing (bare_broker.cc), beside
a publish stream that only counts (counting_stream.cc), by itself, and the engine without a server (engine_bench.cc).

Each run has a server of its own over an empty folder. In a round the two runs of a ratio follow each other.
"""
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from servers import Peer, Server

GOOGLE = ("--api=google",)
DEEP = (*GOOGLE, "--inflight=64")
SINGLE = (*GOOGLE, "--batch=1", "--inflight=32", "--publish-only")
KILOBYTE = (*GOOGLE, "--size=1024")
PACE = 1000
PACED = (*GOOGLE, "--batch=1", f"--rate={PACE}")
MANY = (*GOOGLE, "--topics=10000")
STREAM = ("--publish-only",)
LARGE = ("--size=1048576", "--batch=1", "--subscriptions=4")
FAN_OUT = ("--subscriptions=50", "--publishers=2")
DELIVERED, PUBLISHED = "delivered_per_second", "published_per_second"
LATENCIES = ("p50", "p99")
BARE, COUNTING = "bare_broker", "counting_stream"

# name: what, durability, flags of sluiced's load, what it is beside, flags of that one's load, what is compared, target.
RATIOS = {
    "end_to_end_os": ("end to end, 16 in flight", "os", GOOGLE, BARE, GOOGLE, DELIVERED, 1.0),
    "end_to_end_fsync": ("end to end, 16 in flight", "fsync", GOOGLE, BARE, GOOGLE, DELIVERED, 0.8),
    "deep_fsync": ("end to end, 64 in flight", "fsync", DEEP, BARE, DEEP, DELIVERED, 1.0),
    "native_os": ("native API end to end", "os", (), BARE, GOOGLE, DELIVERED, 1.5),
    "native_fsync": ("native API end to end", "fsync", (), BARE, GOOGLE, DELIVERED, 1.3),
    "single_os": ("single messages published, 32 in flight", "os", SINGLE, BARE, SINGLE, PUBLISHED, 0.9),
    "kilobyte_os": ("1 KiB payload end to end", "os", KILOBYTE, BARE, KILOBYTE, DELIVERED, 1.0),
    "kilobyte_fsync": ("1 KiB payload end to end", "fsync", KILOBYTE, BARE, KILOBYTE, DELIVERED, 0.8),
    # For a look at what 10,000 streams cost gRPC: flat.py has how much sluiced loses by them.
    "many_fsync": ("end to end over 10,000 topics", "fsync", MANY, BARE, MANY, DELIVERED, None),
    "p50_os": ("1,000 single messages/s, p50", "os", PACED, BARE, PACED, "p50", 1.3),
    "p99_os": ("1,000 single messages/s, p99", "os", PACED, BARE, PACED, "p99", 1.5),
    "stream": ("native publish stream alone", "fsync", STREAM, COUNTING, STREAM, PUBLISHED, 0.7),
}
# Latencies beyond the bare broker's, in fdatasyncs of the machine.
BEYOND = {
    "p50_fsync": ("1,000 single messages/s, p50 beyond the bare broker's", "p50", 2),
    "p99_fsync": ("1,000 single messages/s, p99 beyond the bare broker's", "p99", 2),
}
# name: what, durability, flags, what is told, how much of the unit it is, unit, target.
FIGURES = {
    "stream_rate": ("native publish stream alone", "fsync", STREAM, PUBLISHED, 1, "messages/s", 1_500_000),
    "large": ("1 MiB payload to 4 subscriptions", "os", LARGE, DELIVERED, 1048576 / 1e9, "GB/s", 1),
    "fan_out": ("fan-out to 50 subscriptions, acknowledged", "fsync", FAN_OUT, DELIVERED, 1, "deliveries/s", 2_500_000),
}
# name: what, benchmark, what of it, unit, target.
IN_PROCESS = {
    "in_process": ("in process: a single message, all the way", "one", "nanoseconds", "ns", 260),
    "in_process_allocations": ("in process: allocations of it", "one", "allocs", "", 1),
    "in_process_bytes": ("in process: allocated beyond its payload", "one", "bytes", "bytes", 200),
    "in_process_concurrent": ("in process: 8 threads, wall time over messages", "eight", "nanoseconds", "ns", 330),
}
NAMES = (*RATIOS, *BEYOND, *FIGURES, *IN_PROCESS)


def told(result, what):
    return result["end_to_end_latency_us"][what] if what in LATENCIES else result[what]


def run_sluiced(args, durability, flags):
    with (tempfile.TemporaryDirectory(prefix="compare-", dir=args.data) as data,
          Server(args.bin, pathlib.Path(data), durability) as server):
        return server.bench(f"--duration={args.seconds}s", *flags)


def run_peer(args, program, flags):
    with Peer(args.bin, program) as peer:
        return peer.bench(f"--duration={args.seconds}s", *flags)


def row(name, what, durability, values, unit, target, at_least):
    """What every module of the comparison gives for a row."""
    value = statistics.median(values)
    # To the digits that are shown. A row may be there for a look.
    met = target is None or (round(value, 2) >= target if at_least else round(value, 2) <= target)
    return {"name": name, "what": what, "durability": durability, "value": value, "lowest": min(values), "highest": max(values),
            "unit": unit, "target": target, "at_least": at_least, "met": met}


def ratio(args, name):
    what, durability, ours, program, theirs, field, target = RATIOS[name]
    rounds = [(told(run_sluiced(args, durability, ours), field), told(run_peer(args, program, theirs), field))
              for _ in range(args.rounds)]
    return {**row(name, what, durability, [mine / other for mine, other in rounds], "", target, field not in LATENCIES),
            "sluice": statistics.median(r[0] for r in rounds), "other": statistics.median(r[1] for r in rounds),
            "beside": program.replace("_", " "), "figure_unit": "us" if field in LATENCIES else "messages/s"}


def fdatasync_us(args):
    """Sorted microseconds of appends that are synced one by one, as many a second as the load publishes messages: a disk that rests
    in between takes longer than one that is kept busy."""
    appends, record = int(args.seconds * PACE), b"x" * 256
    took = []
    with tempfile.TemporaryFile(dir=args.data, buffering=0) as file:
        file.write(bytes(appends * len(record)))
        os.fsync(file.fileno())
        file.seek(0)
        first = time.monotonic()
        for i in range(appends):
            time.sleep(max(0, first + i / PACE - time.monotonic()))
            file.write(record)
            began = time.monotonic()
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - began) * 1e6)
    return sorted(took)


def beyond(args, name):
    what, quantile, target = BEYOND[name]
    rounds = []
    for _ in range(args.rounds):
        syncs = fdatasync_us(args)
        rounds.append((told(run_sluiced(args, "fsync", PACED), quantile), told(run_peer(args, BARE, PACED), quantile),
                       syncs[int(len(syncs) * {"p50": 0.5, "p99": 0.99}[quantile])]))
    return {**row(name, what, "fsync", [(mine - other) / sync for mine, other, sync in rounds], "fdatasyncs", target, False),
            "sluice": statistics.median(r[0] for r in rounds), "other": statistics.median(r[1] for r in rounds),
            "beside": "bare broker", "figure_unit": "us", "fdatasync_us": statistics.median(r[2] for r in rounds)}


def figure(args, name):
    what, durability, flags, field, scale, unit, target = FIGURES[name]
    values = [told(run_sluiced(args, durability, flags), field) * scale for _ in range(args.rounds)]
    return row(name, what, durability, values, unit, target, True)


benchmarks = {}


def in_process(args, name):
    """Rows of one benchmark are from the same runs."""
    what, benchmark, field, unit, target = IN_PROCESS[name]
    if not benchmarks:
        command = [args.bin / "engine_bench", "--benchmark_format=json", "--benchmark_min_time=1", f"--benchmark_repetitions={args.rounds}"]
        runs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["benchmarks"]
        for run in (r for r in runs if r["run_type"] == "iteration"):
            of = benchmarks.setdefault("one" if run["threads"] == 1 else "eight", {"nanoseconds": [], "allocs": [], "bytes": []})
            of["nanoseconds"].append(1e9 / run["items_per_second"])
            of["allocs"].append(run["allocs"])
            of["bytes"].append(run["new_bytes"] - 100)
    return row(name, what, "memory", benchmarks[benchmark][field], unit, target, False)


def measure(args, name):
    for rows, measured in ((RATIOS, ratio), (BEYOND, beyond), (FIGURES, figure), (IN_PROCESS, in_process)):
        if name in rows:
            return measured(args, name)
    raise SystemExit(f"no row {name}")
