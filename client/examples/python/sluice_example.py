"""python sluice_example.py publish TOPIC COUNT | subscribe SUBSCRIPTION TOPIC COUNT    (see README.md)"""
import os
import queue
import sys

import grpc
from sluice.v1 import admin_pb2, admin_pb2_grpc, pubsub_pb2, pubsub_pb2_grpc

channel = grpc.insecure_channel(os.environ.get("SLUICE_SERVER", "127.0.0.1:8085"))
admin, pubsub = admin_pb2_grpc.AdminStub(channel), pubsub_pb2_grpc.PubSubStub(channel)


def ensure(create, request):
    try:
        create(request)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.ALREADY_EXISTS:
            raise


def topic_name(topic):
    name = f"projects/examples/topics/{topic}"
    ensure(admin.CreateTopic, admin_pb2.CreateTopicRequest(topic={"name": name}))
    return name


def publish(topic, count):
    name = topic_name(topic)
    requests = (pubsub_pb2.PublishRequest(topic=name, batch_id=i, messages=[
        {"data": f"message {i} ✓".encode(), "attributes": {"language": "python", "n": str(i)}}])
        for i in range(count))
    for response in pubsub.Publish(requests):
        for result in response.results:
            print("published", result.first_message_id, result.error.message)


def subscribe(subscription, topic, count):
    name = f"projects/examples/subscriptions/{subscription}"
    ensure(admin.CreateSubscription, admin_pb2.CreateSubscriptionRequest(
        subscription={"name": name, "topic": topic_name(topic), "start": {"earliest": True}}))
    requests = queue.SimpleQueue()
    requests.put(pubsub_pb2.SubscribeRequest(subscription=name, credit={"messages": count}))
    for response in pubsub.Subscribe(iter(requests.get, None)):
        for delivery in response.deliveries:
            message = delivery.message
            print("received", message.attributes["language"], message.attributes["n"], message.data.decode())
            requests.put(pubsub_pb2.SubscribeRequest(acks=[{"first": delivery.delivery_id}]))
            count -= 1
        if count == 0:
            requests.put(None)


if sys.argv[1] == "publish":
    publish(sys.argv[2], int(sys.argv[3]))
else:
    subscribe(sys.argv[2], sys.argv[3], int(sys.argv[4]))
