#!/usr/bin/env python3
"""What story.py leaves out: silence, a crash of the server, and all that is refused, word for word.

    PUBSUB_EMULATOR_HOST=127.0.0.1:8085 python long_story.py [CHAPTER...]

survives-restart runs only with SLUICE_RESTART: it prints a line "RESTART" when it wants the server killed and started
again with the same port and data.
"""
import datetime
import logging
import os
import re
import sys
import threading
import time
import uuid

from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as PublisherCalls
from google.pubsub_v1 import types

import story
from story import PATIENCE, PROJECT, Receiver, chapter, make, nothing_left
from story import publish, publisher, pull, refusal, subscriber

story.chapters.clear()

# The calls themselves: the client's own publisher makes batches as it likes.
calls = PublisherCalls(transport=publisher.transport)
# A refusal is not to hide behind retries.
ONCE = {"retry": None, "timeout": 10}


def short(name):
    return name.rsplit("/", 1)[1]


def fresh(kind):
    return f"projects/{PROJECT}/{kind}s/{kind}-{uuid.uuid4().hex[:12]}"


def eventually(what, done, patience=PATIENCE):
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, f"not within {patience} s: {what}"
        time.sleep(0.02)


def stays_empty(subscription, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert nothing_left(subscription)
        time.sleep(0.1)


def acknowledge(subscription, received):
    subscriber.acknowledge(subscription=subscription, ack_ids=[r.ack_id for r in received], **ONCE)


@chapter
def settled_means_gone():
    topic, subscription = make()
    publish(topic, [b"%d" % i for i in range(100)])
    seen = []

    def handle(message):
        seen.append(message.message_id)
        if seen.count(message.message_id) == 1:
            message.nack()
        else:
            message.ack()

    with Receiver(subscription, handle) as receiver:
        assert receiver.wait(200)
    stays_empty(subscription, 12)  # Longer than the deadline of a lease that was not settled.
    assert len(seen) == 200, len(seen)


@chapter
def exactly_once_refusals():
    topic, subscription = make(enable_exactly_once_delivery=True)

    def refuses(ack_ids, bad):
        error = refusal(lambda: subscriber.acknowledge(subscription=subscription, ack_ids=ack_ids, **ONCE))
        assert isinstance(error, exceptions.InvalidArgument), error
        assert (error.reason, error.domain) == ("EXACTLY_ONCE_ACKID_FAILURE", "pubsub.googleapis.com"), error
        assert error.metadata == {bad: "PERMANENT_FAILURE_INVALID_ACK_ID"}, error.metadata

    publish(topic, [b"settled", b"good"])
    settled, good = pull(subscription, 2)
    acknowledge(subscription, [settled])
    refuses([settled.ack_id, good.ack_id], settled.ack_id)
    refuses([good.ack_id], good.ack_id)  # It was applied.

    publish(topic, [b"expires"])
    expired = pull(subscription, 1)[0]
    subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[expired.ack_id], ack_deadline_seconds=1, **ONCE)
    current = pull(subscription, 1)
    refuses([expired.ack_id], expired.ack_id)
    acknowledge(subscription, current)

    # The client learns that another acknowledged it; alone in its request: the client fails all of a request with one
    # bad id.
    publish(topic, [b"taken"])
    with Receiver(subscription, lambda message: None) as receiver:
        assert receiver.wait(1)
        acknowledge(subscription, receiver.messages)
        error = refusal(lambda: receiver.messages[0].ack_with_response().result(PATIENCE))
        assert error.error_code == pubsub_v1.subscriber.exceptions.AcknowledgeStatus.INVALID_ACK_ID, error


@chapter
def refused_takes_its_successors_along():
    topic, subscription = make(enable_message_ordering=True)
    messages = [types.PubsubMessage(data=b"%d" % i, ordering_key="key") for i in range(10)]
    calls.publish(topic=topic, messages=messages)
    first = list(subscriber.pull(subscription=subscription, max_messages=10).received_messages)
    middle = len(first) // 2
    if middle:
        acknowledge(subscription, first[:middle])
    subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[first[middle].ack_id], ack_deadline_seconds=0, **ONCE
    )
    seen = []
    while len(seen) < 10 - middle:
        received = pull(subscription, 1)
        seen += [int(r.message.data) for r in received]
        acknowledge(subscription, received)
    assert seen == list(range(middle, 10)), seen


@chapter
def server_holds_back():
    """A stream that says 10 gets 10, and more only for what is acknowledged, here by a unary call."""
    topic, subscription = make()
    publish(topic, [b"%d" % i for i in range(100)])
    closing = threading.Event()

    def requests():
        yield types.StreamingPullRequest(
            subscription=subscription, stream_ack_deadline_seconds=60, max_outstanding_messages=10
        )
        closing.wait()

    received = []
    stream = subscriber.streaming_pull(requests=requests())

    def read():
        try:
            for response in stream:
                received.extend(response.received_messages)
        except exceptions.GoogleAPICallError:
            pass  # It is cancelled below.

    reader = threading.Thread(target=read)
    reader.start()
    try:
        eventually("10 messages", lambda: len(received) >= 10)
        time.sleep(1)
        assert len(received) == 10, len(received)
        acknowledge(subscription, received[:4])
        eventually("14 messages", lambda: len(received) >= 14)
        time.sleep(1)
        assert len(received) == 14, len(received)
    finally:
        closing.set()
        stream.cancel()
        reader.join()


@chapter
def refusals():
    topic, subscription = make()
    publish(topic, [b"a"])
    ack_id = pull(subscription, 1)[0].ack_id
    missing = fresh("topic")
    bad = f"projects/{PROJECT}/topics/9starts-with-a-digit"
    mask = "Invalid update_mask provided in the UpdateSubscriptionRequest: "
    invalid, unknown, exists = exceptions.InvalidArgument, exceptions.NotFound, exceptions.AlreadyExists
    no_topic = f"Resource not found (resource={short(missing)})."

    def create(**fields):
        request = {"name": fresh("subscription"), "topic": topic, **fields}
        return lambda: subscriber.create_subscription(request=request, **ONCE)

    def update(paths, **fields):
        request = {"subscription": {"name": subscription, **fields}, "update_mask": {"paths": paths}}
        return lambda: subscriber.update_subscription(request=request, **ONCE)

    def send(*messages, to=topic):
        return lambda: calls.publish(request={"topic": to, "messages": list(messages)}, **ONCE)

    def ack(*ack_ids):
        return lambda: subscriber.acknowledge(request={"subscription": subscription, "ack_ids": ack_ids}, **ONCE)

    def pulls(count, name=subscription):
        return lambda: subscriber.pull(request={"subscription": name, "max_messages": count}, **ONCE)

    def pull_on_push():
        push = create(push_config={"push_endpoint": "https://example.com/push"})().name
        pulls(1, push)()

    # What is asked, and the code and text (a pattern; None: any) of the answer.
    same = re.escape
    cases = {
        "bad name": (lambda: publisher.create_topic(name=bad, **ONCE), invalid, same(
            f"Invalid resource name given (name={bad}). Refer to "
            "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.")),
        "topic exists": (lambda: publisher.create_topic(name=topic, **ONCE), exists, same(
            f"Resource already exists in the project (resource={short(topic)}).")),
        "subscription exists": (create(name=subscription), exists, same(
            f"Resource already exists in the project (resource={short(subscription)}).")),
        "get a missing topic": (lambda: publisher.get_topic(topic=missing, **ONCE), unknown, same(no_topic)),
        "publish to a missing topic": (send({"data": b"a"}, to=missing), unknown, same(no_topic)),
        "subscribe to a missing topic": (create(topic=missing), unknown, same(no_topic)),
        "pull from a missing subscription": (pulls(1, subscription + "x"), unknown, same(
            f"Resource not found (resource={short(subscription)}x).")),
        "0 messages": (send(), invalid, same(
            "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.")),
        "1100 messages": (send(*[{"data": b"a"}] * 1100), invalid, same(
            "The value for message_count is too large. You passed 1100 in the request, "
            "but the maximum value is 1000.")),
        "request size": (send({"data": bytes(10_000_001)}), invalid,
            r"The value for request_size is too large\. You passed 100\d{5} in the request, "
            r"but the maximum value is 10000000\."),
        "empty message": (send({}), invalid, None),
        "modack 601": (lambda: subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=[ack_id], ack_deadline_seconds=601, **ONCE), invalid, same(
            "Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 0 and 600 seconds.")),
        "no ack id": (ack(), invalid, same("You have not specified an ack ID in the request.")),
        "bad ack id": (ack("bad"), invalid, same("You have passed an invalid ack ID to the service (ack_id=bad).")),
        "max_messages 0": (pulls(0), invalid, same(
            "You have passed an invalid argument to the service (argument=max_messages).")),
        "mask missing": (update([], labels={"a": "b"}), invalid, same(
            "The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list.")),
        "mask immutable": (update(["filter"], filter="attributes:a"), invalid, same(
            f"{mask}the 'filter' field in the Subscription is not mutable.")),
        "mask unknown": (update(["nonsense"]), invalid, same(
            f"{mask}nonsense is not a known Subscription field. "
            "Note that field paths must be of the form 'push_config' rather than 'pushConfig'.")),
        "retention 9m59s": (create(message_retention_duration=datetime.timedelta(seconds=599)), invalid, same(
            "The value for message retention duration is out of bounds. You passed 9m59s in the request, "
            "but the value must be between 10m and 744h.")),
        "expiration 1h": (create(expiration_policy={"ttl": datetime.timedelta(hours=1)}), invalid, same(
            "The value for expiration duration is too small. You passed 1h in the request, "
            "but the minimum value is 24h.")),
        "ack deadline 9": (create(ack_deadline_seconds=9), invalid, None),
        "bad filter": (create(filter="attributes.a = "), invalid, None),
        "page size -1": (lambda: publisher.list_topics(
            request={"project": f"projects/{PROJECT}", "page_size": -1}, **ONCE), invalid, None),
        "pull on push": (pull_on_push, exceptions.FailedPrecondition, same(
            "This method is not supported for this subscription type.")),
    }
    differences = []
    for name, (call, kind, text) in cases.items():
        try:
            call()
            differences.append(f"{name}: accepted")
        except exceptions.GoogleAPICallError as error:
            if not isinstance(error, kind) or (text and not re.fullmatch(text, error.message)):
                differences.append(f"{name}: {error}")
    assert not differences, " | ".join(differences)


@chapter
def lists_in_pages_and_updates():
    topic, subscription = make()
    topics = [topic] + [publisher.create_topic(name=fresh("topic")).name for _ in range(4)]
    subscriptions = [subscription]
    for _ in range(4):
        subscriptions.append(subscriber.create_subscription(name=fresh("subscription"), topic=topic).name)
    snapshots = [fresh("snapshot") for _ in range(3)]
    for snapshot in snapshots:
        subscriber.create_snapshot(name=snapshot, subscription=subscription)

    def listed(method, field, wanted, **request):
        names = []
        for page in method(request={**request, "page_size": 2}).pages:
            found = getattr(page, field)
            assert len(found) <= 2, len(found)
            names += [getattr(f, "name", f) for f in found]
        assert sorted(name for name in names if name in wanted) == sorted(wanted), (field, names)

    project = f"projects/{PROJECT}"
    listed(publisher.list_topic_subscriptions, "subscriptions", subscriptions, topic=topic)
    listed(publisher.list_topic_snapshots, "snapshots", snapshots, topic=topic)
    listed(publisher.list_topics, "topics", topics, project=project)
    listed(subscriber.list_subscriptions, "subscriptions", subscriptions, project=project)
    listed(subscriber.list_snapshots, "snapshots", snapshots, project=project)

    labelled = {"name": topic, "labels": {"team": "blue"}}
    publisher.update_topic(request={"topic": labelled, "update_mask": {"paths": ["labels"]}})
    assert publisher.get_topic(topic=topic).labels == {"team": "blue"}
    changes = {
        "ack_deadline_seconds": 42,
        "retry_policy": {
            "minimum_backoff": datetime.timedelta(seconds=5),
            "maximum_backoff": datetime.timedelta(seconds=50),
        },
        "dead_letter_policy": {"dead_letter_topic": topics[1], "max_delivery_attempts": 7},
    }
    update = {"name": subscription, "retain_acked_messages": True, **changes}
    subscriber.update_subscription(request={"subscription": update, "update_mask": {"paths": list(changes)}})
    got = subscriber.get_subscription(subscription=subscription)
    assert got.ack_deadline_seconds == 42 and not got.retain_acked_messages, got
    assert got.retry_policy.minimum_backoff.total_seconds() == 5, got.retry_policy
    assert got.retry_policy.maximum_backoff.total_seconds() == 50, got.retry_policy
    assert got.dead_letter_policy == types.DeadLetterPolicy(**changes["dead_letter_policy"]), got.dead_letter_policy


@chapter
def idle_a_minute():
    ended = []
    streams = logging.getLogger("subscriber-streams")  # Where the client tells that it opens a stream anew.
    streams.setLevel(logging.DEBUG)
    streams.propagate = False
    handler = logging.Handler()
    handler.emit = lambda record: ended.append(record.getMessage())
    streams.addHandler(handler)
    topic, subscription = make()
    with Receiver(subscription, lambda message: message.ack()) as receiver:
        time.sleep(65)
        publish(topic, [b"after a minute"])
        began = time.monotonic()
        assert receiver.wait(1)
        assert time.monotonic() - began < 1, time.monotonic() - began
        assert not ended, ended
    streams.removeHandler(handler)


def survives_restart():
    """One message after the other, each called once, so that the program sees the server go; beside it the client's own
    publisher, which tries again until it is confirmed."""
    topic, subscription = make()
    confirmed, patient = [], []

    def publish_one():
        patient.append(publisher.publish(topic, b"patient"))
        try:
            request = {"topic": topic, "messages": [{"data": b"once"}]}
            confirmed.extend(calls.publish(request=request, retry=None, timeout=5).message_ids)
            return True
        except exceptions.GoogleAPICallError:
            return False

    def hundred_more(when):
        enough = len(confirmed) + 100
        eventually(f"100 confirmed {when}", lambda: publish_one() and len(confirmed) >= enough, 60)

    with Receiver(subscription, lambda message: message.ack()) as receiver:
        hundred_more("before")
        assert receiver.wait(100)
        print("RESTART", flush=True)
        eventually("the server goes away", lambda: not publish_one(), 60)
        hundred_more("by the server that is back")
        confirmed.extend(future.result(60) for future in patient)

        def missing():
            return set(confirmed) - {message.message_id for message in list(receiver.messages)}

        eventually("all that was confirmed is received", lambda: not missing(), 60)


if os.environ.get("SLUICE_RESTART"):
    chapter(survives_restart)
else:
    print("skip survives-restart", flush=True)

if __name__ == "__main__":
    sys.exit(story.main())
