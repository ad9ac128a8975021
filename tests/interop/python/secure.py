#!/usr/bin/env python3
"""The official Python client with TLS and a token: publishes to a topic of its own and receives that.

    SLUICE_SERVER=localhost:8085 SLUICE_CA=ca.crt SLUICE_TOKEN=sluice_... python secure.py
"""
import os
import queue

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

with open(os.environ["SLUICE_CA"], "rb") as authority:
    credentials = grpc.composite_channel_credentials(grpc.ssl_channel_credentials(authority.read()),
                                                     grpc.access_token_call_credentials(os.environ["SLUICE_TOKEN"]))
channel = grpc.secure_channel(os.environ["SLUICE_SERVER"], credentials, options=[("grpc.max_receive_message_length", -1)])
publisher = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
subscriber = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))

topic = publisher.topic_path("team-a", "secure-python")
subscription = subscriber.subscription_path("team-a", "secure-python")
publisher.create_topic(name=topic)
subscriber.create_subscription(name=subscription, topic=topic)
publisher.publish(topic, b"hello").result(30)

received = queue.SimpleQueue()
pulled = subscriber.subscribe(subscription, lambda message: (received.put(message.data), message.ack()))
assert received.get(timeout=30) == b"hello"
pulled.cancel()
pulled.result()
