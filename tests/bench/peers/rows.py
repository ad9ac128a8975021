"""Rows of the comparison with other brokers (peers.py), each under the load of its own client.

The load is 100 messages of 100 bytes in a request, 16 requests in flight, one subscriber that acknowledges everything, until all
is drained; sluiced has its native API (google.pubsub.v1 beside the emulator). A row is the median of the rounds' ratios of
messages delivered per second, each from two runs that follow each other over empty folders on one disk. Every message is counted.
"""
import os
import pathlib
import statistics
import tempfile

from bare import row
from peers.peers import Emulator, Missing, Nats, Redis, prepare
from servers import Server

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
    with (tempfile.TemporaryDirectory(prefix="peers-", dir=args.data) as folder,
          make(pathlib.Path(folder)) as server):
        return server.bench(*flags), server.durability


def measure(args, name):
    """A row as all modules of the comparison give it; with `missing` when the peer is not installed. What the peer lost or gave twice is
    told, sluiced ends the program when it does."""
    label, peer, durability, ours, theirs, target = ROWS[name]
    args.tools = getattr(args, "tools", None) or prepare(args.cache)
    seconds = (f"--duration={args.seconds}s",)
    rounds = []
    try:
        for _ in range(args.rounds):
            mine, _ = run(args, lambda folder: Server(args.bin, folder, durability), (*seconds, *ours))
            other, settings = run(args, lambda folder: peer(args, folder), theirs or seconds)
            rounds.append((mine["delivered_per_second"], other["delivered_per_second"], other))
    except Missing as missing:
        return {"name": name, "what": label, "missing": f"{missing} is not installed"}
    return {**row(name, label, durability, [mine / other for mine, other, _ in rounds], "", target, True),
            "sluice": statistics.median(r[0] for r in rounds), "other": statistics.median(r[1] for r in rounds), "beside": settings,
            "figure_unit": "messages/s", "peer_lost": sum(r[2]["lost"] for r in rounds),
            "peer_duplicates": sum(r[2]["duplicates"] for r in rounds)}
