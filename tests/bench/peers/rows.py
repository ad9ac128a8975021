#!/usr/bin/env python3
"""Compares sluiced with other brokers (peers.py), each under the load of its own client, round by round.

    tests/bench/peers/rows.py [--rounds=5] [--seconds=3] [--only=ROW,...] [--bin=DIR] [--data=DIR] [--cache=DIR] [--json=FILE]

The load is 100 messages of 100 bytes in a request, 16 requests in flight, one subscriber that acknowledges everything, until all
is drained; sluiced has its native API (google.pubsub.v1 beside the emulator). A row is the median of the rounds' ratios of
messages delivered per second, each from two runs that follow each other over empty folders on one disk. Every message is counted.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from peers.peers import Emulator, Missing, Nats, Redis, prepare  # noqa: E402
from servers import Server  # noqa: E402

GOOGLE = ("--api=google",)
# The emulator delivers 100 messages every 50 ms on a stream, whatever the load: with one stream FEW take 3 s, and with 64, for
# which there is a row without a target, so do MANY.
FEW, MANY = ("--messages=5000",), ("--messages=200000", "--subscribers=64")

# name: what, how the peer is made, durability of sluiced, flags of its load, flags of the peer's (None: the seconds), target.
ROWS = {
    "nats_file": ("NATS JetStream", lambda args, folder: Nats(args.tools, folder), "os", (), None, 10),
    "nats_always": ("NATS JetStream", lambda args, folder: Nats(args.tools, folder, sync_always=True), "fsync", (), None, 10),
    "redis_everysec": ("Redis Streams", lambda args, folder: Redis(args.tools, folder, "everysec"), "os", (), None, 4),
    "redis_always": ("Redis Streams", lambda args, folder: Redis(args.tools, folder, "always"), "fsync", (), None, 4),
    "emulator": ("Pub/Sub emulator", lambda args, folder: Emulator(args.bin, folder), "fsync", GOOGLE, FEW, 400),
    "emulator_64_streams": ("Pub/Sub emulator, 64 streams", lambda args, folder: Emulator(args.bin, folder), "fsync",
                            (*GOOGLE, "--subscribers=64"), MANY, None),
}


def run(args, make, flags):
    """What bench tells of a server over a folder of its own, and its durability."""
    # What the last run wrote and deleted is not to be in the way of this one's syncs.
    os.sync()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="peers-", dir=args.data))
    try:
        server = make(folder)
        try:
            return server.bench(*flags), server.durability
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def measure(args, name):
    """A row as compare's, where `peer` is the peer's settings, `theirs` its messages/s, `lost` and `duplicates` its own (those of
    sluiced end the program). With `missing` alone when it is not installed. REQUIRES: args.tools is what prepare() gave."""
    label, peer, durability, ours, theirs, target = ROWS[name]
    seconds = (f"--duration={args.seconds}s",)
    rounds = []
    try:
        for _ in range(args.rounds):
            mine, _ = run(args, lambda folder: Server(args.bin, folder, durability), (*seconds, *ours))
            other, settings = run(args, lambda folder: peer(args, folder), theirs or seconds)
            rounds.append((mine["delivered_per_second"], other["delivered_per_second"], other))
    except Missing as missing:
        return {"name": name, "what": label, "missing": f"{missing} is not installed"}
    ratios = [mine / other for mine, other, _ in rounds]
    median = statistics.median(ratios)
    return {"name": name, "what": label, "durability": durability, "target": target, "ratio": median, "lowest": min(ratios),
            "highest": max(ratios), "met": target is None or median >= target, "at_least": True, "unit": "messages/s",
            "sluice": statistics.median(r[0] for r in rounds), "theirs": statistics.median(r[1] for r in rounds),
            "peer": settings, "lost": sum(r[2]["lost"] for r in rounds), "duplicates": sum(r[2]["duplicates"] for r in rounds)}


def show(row):
    if "missing" in row:
        print(f"| {row['what']} | {row['missing']} | | | | | | | |", flush=True)
        return
    print(f"| {row['what']} | {row['peer']} | `{row['durability']}` | {row['sluice']:,.0f} | {row['theirs']:,.0f} | "
          f"{row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) | {row['target'] or 'none'} | "
          f"{'yes' if row['met'] else 'no'} | {row['lost']} / {row['duplicates']} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--data", type=pathlib.Path, default=None)
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("build/peers"))
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    args.bin, args.tools = args.bin.resolve(), prepare(args.cache)
    print("| peer | its durability | ours | sluiced, messages/s | peer, messages/s | ratio | target | met | peer lost / duplicates |\n"
          "|---|---|---|---|---|---|---|---|---|")
    rows = []
    for name in args.only.split(","):
        rows.append(measure(args, name))
        show(rows[-1])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
