#!/usr/bin/env python3
"""What a program with the official Python client does, chapter by chapter, against the server in PUBSUB_EMULATOR_HOST.

    PUBSUB_EMULATOR_HOST=127.0.0.1:8085 python story.py [CHAPTER...]

Each chapter has topics and subscriptions of its own and prints "ok NAME" or "FAIL NAME: why".
"""
import base64
import http.server
import json
import os
import sys
import threading
import time
import traceback
import uuid

import grpc
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as PublisherCalls
from google.pubsub_v1 import types
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

PROJECT = "interop"
# For what should come at once; never decides how fast something is.
PATIENCE = 30

publisher = pubsub_v1.PublisherClient()
# As the client makes it itself for PUBSUB_EMULATOR_HOST, but for the limit of 4 MiB on what it receives.
subscriber = pubsub_v1.SubscriberClient(
    transport=SubscriberGrpcTransport(
        channel=grpc.insecure_channel(
            os.environ["PUBSUB_EMULATOR_HOST"], options=[("grpc.max_receive_message_length", -1)]
        )
    )
)
chapters = []


def chapter(function):
    chapters.append(function)
    return function


def make(**subscription):
    """A topic and a subscription of it; their names."""
    run = uuid.uuid4().hex[:12]
    topic = publisher.topic_path(PROJECT, f"topic-{run}")
    name = subscriber.subscription_path(PROJECT, f"subscription-{run}")
    publisher.create_topic(name=topic)
    subscriber.create_subscription(request={"name": name, "topic": topic, **subscription})
    return topic, name


def publish(topic, payloads, **attributes):
    futures = [publisher.publish(topic, payload, **attributes) for payload in payloads]
    return [future.result(PATIENCE) for future in futures]


def pull(subscription, count, wait=PATIENCE):
    """That many messages, unacknowledged; fewer when they do not come."""
    received = []
    end = time.monotonic() + wait
    while len(received) < count and time.monotonic() < end:
        response = subscriber.pull(
            subscription=subscription, max_messages=count - len(received), timeout=max(end - time.monotonic(), 1)
        )
        received += response.received_messages
    return received


def nothing_left(subscription):
    response = subscriber.pull(request={"subscription": subscription, "max_messages": 10, "return_immediately": True})
    return not response.received_messages


class Receiver:
    """A streaming pull that gives each message to `handle` and keeps what came; ends with the block."""

    def __init__(self, subscription, handle, **flow_control):
        self.messages = []
        self._changed = threading.Condition()

        def receive(message):
            with self._changed:
                self.messages.append(message)
                self._changed.notify_all()
            handle(message)

        self._future = subscriber.subscribe(
            subscription, receive, flow_control=pubsub_v1.types.FlowControl(**flow_control)
        )

    def wait(self, count):
        with self._changed:
            return self._changed.wait_for(lambda: len(self.messages) >= count, PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._future.cancel()
        self._future.result(PATIENCE)


def refusal(call):
    try:
        call()
    except exceptions.GoogleAPICallError as error:
        return error
    raise AssertionError("it was accepted")


@chapter
def publishes_batched():
    topic, subscription = make()
    ids = publish(topic, [b"message %d" % i for i in range(2000)], color="blue")
    assert all(message_id.isdecimal() for message_id in ids) and len(set(ids)) == 2000
    with Receiver(subscription, lambda message: message.ack()) as receiver:
        assert receiver.wait(2000)
    got = {message.message_id: message for message in receiver.messages}
    assert len(receiver.messages) == 2000, "duplicates"
    for i, message_id in enumerate(ids):
        assert got[message_id].data == b"message %d" % i and got[message_id].attributes["color"] == "blue"
    assert nothing_left(subscription)


@chapter
def thousand_in_one_request():
    topic, subscription = make()
    messages = [types.PubsubMessage(data=b"%d" % i) for i in range(1000)]
    # The call itself: the client above makes batches as it likes.
    calls = PublisherCalls(transport=publisher.transport)
    ids = calls.publish(topic=topic, messages=messages).message_ids
    assert [int(message_id) for message_id in ids] == list(range(int(ids[0]), int(ids[0]) + 1000))
    assert sorted(int(r.message.data) for r in pull(subscription, 1000)) == list(range(1000))


@chapter
def nine_megabyte_message():
    topic, subscription = make()
    payload = bytes(range(256)) * (9_000_000 // 256)
    publish(topic, [payload])
    with Receiver(subscription, lambda message: message.ack()) as receiver:
        assert receiver.wait(1)
    assert receiver.messages[0].data == payload


@chapter
def ordered():
    topic, subscription = make(enable_message_ordering=True)
    ordering = pubsub_v1.PublisherClient(publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True))
    futures = [ordering.publish(topic, b"%d" % i, ordering_key=f"key-{k}") for i in range(50) for k in range(10)]
    for future in futures:
        future.result(PATIENCE)
    failed = threading.Event()

    def handle(message):
        if message.ordering_key == "key-3" and message.data == b"20" and not failed.is_set():
            failed.set()
            message.nack()
        else:
            message.ack()

    with Receiver(subscription, handle) as receiver:
        assert receiver.wait(530)  # the failed one and the 29 behind it come again
        end = time.monotonic() + PATIENCE
        while not nothing_left(subscription) and time.monotonic() < end:
            time.sleep(0.1)
    for k in range(10):
        got = [int(m.data) for m in receiver.messages if m.ordering_key == f"key-{k}"]
        if k != 3:
            assert got == list(range(50)), got
        else:
            # In order up to the failure, and again in order from it on.
            again = len(got) - 1 - got[::-1].index(20)
            assert got[again:] == list(range(20, 50)) and got[:21] == list(range(21)), got


@chapter
def ack_and_nack():
    topic, subscription = make()
    publish(topic, [b"%d" % i for i in range(100)])
    seen = set()

    def handle(message):
        if message.message_id in seen:
            return message.ack()
        seen.add(message.message_id)
        return message.nack()

    with Receiver(subscription, handle) as receiver:
        assert receiver.wait(200)
    assert nothing_left(subscription)


@chapter
def exactly_once():
    topic, subscription = make(enable_exactly_once_delivery=True)
    publish(topic, [b"%d" % i for i in range(100)])
    results = []
    with Receiver(subscription, lambda message: results.append(message.ack_with_response())) as receiver:
        assert receiver.wait(100)
        for result in results:
            assert result.result(PATIENCE) == pubsub_v1.subscriber.exceptions.AcknowledgeStatus.SUCCESS
    ack_id = receiver.messages[0].ack_id
    error = refusal(lambda: subscriber.acknowledge(subscription=subscription, ack_ids=[ack_id]))
    assert error.message.startswith("Some acknowledgement ids in the request were invalid."), error
    assert error.reason == "EXACTLY_ONCE_ACKID_FAILURE" and error.domain == "pubsub.googleapis.com"
    assert error.metadata == {ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}


@chapter
def dead_letters():
    dead_topic, dead_subscription = make()
    topic, subscription = make(dead_letter_policy={"dead_letter_topic": dead_topic, "max_delivery_attempts": 5})
    publish(topic, [b"poison"], color="green")
    attempts = []

    def handle(message):
        attempts.append(message.delivery_attempt)
        message.nack()

    with Receiver(subscription, handle) as receiver:
        assert receiver.wait(5)
    copy = pull(dead_subscription, 1)[0].message
    assert attempts == [1, 2, 3, 4, 5], attempts
    assert copy.data == b"poison" and copy.attributes["color"] == "green"
    prefix = "CloudPubSubDeadLetterSource"
    assert copy.attributes[prefix + "DeliveryCount"] == "5"
    assert copy.attributes[prefix + "Subscription"] == subscription.rsplit("/", 1)[1]
    assert copy.attributes[prefix + "SubscriptionProject"] == PROJECT
    assert copy.attributes[prefix + "TopicPublishTime"]


@chapter
def filtered():
    topic, subscription = make(filter='attributes.color = "red" AND NOT attributes:skip')
    publish(topic, [b"blue"], color="blue")
    publish(topic, [b"skipped"], color="red", skip="")
    publish(topic, [b"red"], color="red")
    assert [r.message.data for r in pull(subscription, 2, wait=3)] == [b"red"]


@chapter
def seek_and_snapshot():
    topic, subscription = make(retain_acked_messages=True)
    publish(topic, [b"a", b"b"])
    snapshot = subscriber.snapshot_path(PROJECT, f"snapshot-{uuid.uuid4().hex[:12]}")
    subscriber.create_snapshot(name=snapshot, subscription=subscription)

    def take():
        received = pull(subscription, 2)
        subscriber.acknowledge(subscription=subscription, ack_ids=[r.ack_id for r in received])
        return sorted(r.message.data for r in received), received[0].message.publish_time

    payloads, published = take()
    assert payloads == [b"a", b"b"] and nothing_left(subscription)
    subscriber.seek(request={"subscription": subscription, "snapshot": snapshot})
    assert take()[0] == [b"a", b"b"]
    subscriber.seek(request={"subscription": subscription, "time": published})
    assert take()[0] == [b"a", b"b"]
    publish(topic, [b"c"])
    subscriber.seek(request={"subscription": subscription, "time": published.replace(year=published.year + 1)})
    assert nothing_left(subscription)
    subscriber.delete_snapshot(snapshot=snapshot)


@chapter
def flow_control():
    topic, subscription = make()
    publish(topic, [b"%d" % i for i in range(60)])
    held, most, lock = [0], [0], threading.Lock()

    def handle(message):
        with lock:
            held[0] += 1
            most[0] = max(most[0], held[0])
        time.sleep(0.02)
        with lock:
            held[0] -= 1
        message.ack()

    with Receiver(subscription, handle, max_messages=10) as receiver:
        assert receiver.wait(60)
    assert most[0] <= 10, most


@chapter
def unary_pull():
    topic, subscription = make()
    publish(topic, [b"a"])
    ack_id = pull(subscription, 1)[0].ack_id
    subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[ack_id], ack_deadline_seconds=0)
    ack_id = pull(subscription, 1)[0].ack_id
    subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[ack_id], ack_deadline_seconds=600)
    subscriber.acknowledge(subscription=subscription, ack_ids=[ack_id])
    assert nothing_left(subscription)


@chapter
def update_and_list():
    topic, subscription = make()
    names = [subscription]
    for i in range(4):
        names.append(f"{subscription}-{i}")
        subscriber.create_subscription(name=names[-1], topic=topic)
    pages = publisher.list_topic_subscriptions(request={"topic": topic, "page_size": 2})
    assert sorted(pages) == sorted(names)
    listed = subscriber.list_subscriptions(request={"project": f"projects/{PROJECT}", "page_size": 2})
    assert set(names) <= {found.name for found in listed}
    updated = subscriber.update_subscription(
        request={
            "subscription": {"name": subscription, "labels": {"team": "blue"}, "ack_deadline_seconds": 60},
            "update_mask": {"paths": ["labels"]},
        }
    )
    assert updated.labels == {"team": "blue"} and updated.ack_deadline_seconds == 10
    publisher.detach_subscription(request={"subscription": names[1]})
    error = refusal(lambda: subscriber.pull(subscription=names[1], max_messages=1, timeout=PATIENCE))
    assert isinstance(error, exceptions.FailedPrecondition), error
    publisher.delete_topic(topic=topic)
    assert subscriber.get_subscription(subscription=subscription).topic == "_deleted-topic_"


@chapter
def errors():
    topic, subscription = make()

    def text(call):
        return refusal(call).message.split(" [")[0]

    assert isinstance(refusal(lambda: publisher.create_topic(name=topic)), exceptions.AlreadyExists)
    assert text(lambda: publisher.get_topic(topic=topic + "x")) == f"Resource not found (resource={topic[-18:]}x)."
    assert text(lambda: subscriber.acknowledge(subscription=subscription, ack_ids=["x"])) == \
        "You have passed an invalid ack ID to the service (ack_id=x)."
    assert text(lambda: subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=["x"], ack_deadline_seconds=601)) == \
        "Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 0 and 600 seconds."


@chapter
def pushes():
    """Each message is a request; one that is refused comes again."""
    bodies = []

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(503 if len(bodies) == 1 else 204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    topic, subscription = make(push_config={"push_endpoint": f"http://127.0.0.1:{server.server_port}/push"})
    ids = publish(topic, [b"%d" % i for i in range(20)], colour="blue")
    end = time.monotonic() + PATIENCE
    while {body["message"]["messageId"] for body in bodies[1:]} != set(ids):
        assert time.monotonic() < end, bodies
        time.sleep(0.02)
    server.shutdown()
    assert {base64.b64decode(body["message"]["data"]) for body in bodies} == {b"%d" % i for i in range(20)}
    assert all(body["message"]["attributes"] == {"colour": "blue"} for body in bodies), bodies
    assert all(body["subscription"] == subscription for body in bodies), bodies


@chapter
def clean_shutdown():
    topic, subscription = make()
    publish(topic, [b"%d" % i for i in range(20)])
    held = []
    with Receiver(subscription, held.append) as receiver:
        assert receiver.wait(20)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    for message in held:
        message.nack()
    subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[message.ack_id for message in held], ack_deadline_seconds=0
    )
    with Receiver(subscription, lambda message: message.ack()) as receiver:
        assert receiver.wait(20)


def main():
    wanted = sys.argv[1:]
    failed = False
    for function in chapters:
        name = function.__name__.replace("_", "-")
        if wanted and name not in wanted:
            continue
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed = True
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAIL {name}: {type(error).__name__} {error} ({where.line})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
