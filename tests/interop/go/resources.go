package main

import (
	"slices"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Topics, subscriptions and snapshots as things to make, change and list.

func updateAndList() {
	topic, subscription := newPair(&pb.Subscription{})
	updatesTopic(topic)
	updatesSubscription(subscription)

	topics, subscriptions := []string{topic}, []string{subscription}
	for range 4 {
		topics = append(topics, newTopic())
		subscriptions = append(subscriptions, newSubscription(topic, &pb.Subscription{}))
	}
	listsOf(topic, subscription, topics, subscriptions)

	detached := subscriptions[1]
	must(publisher.DetachSubscription(ctx, &pb.DetachSubscriptionRequest{Subscription: detached}))
	equal("pull where it is detached", refusal(pullOnce(detached, 1)).GRPCStatus().Code(), codes.FailedPrecondition)
	equal("detached", get(detached).Detached, true)
	check(publisher.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: topic}))
	equal("a deleted topic", get(subscription).Topic, "_deleted-topic_")
}

func get(subscription string) *pb.Subscription {
	return must(subscriber.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: subscription}))
}

// pages is what the client's iterators have in common.
type pages[T any] interface {
	Next() (T, error)
	PageInfo() *iterator.PageInfo
}

// lists reads a list in pages of two; what this chapter made must be in it once.
func lists[T any](what string, all pages[T], nameOf func(T) string, made []string) {
	all.PageInfo().MaxSize = 2
	var names []string
	for {
		item, err := all.Next()
		if err == iterator.Done {
			break
		}
		check(err)
		assert(all.PageInfo().Remaining() < 2, "%s: a page of %d", what, all.PageInfo().Remaining()+1)
		if name := nameOf(item); slices.Contains(made, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	equal(what, names, slices.Sorted(slices.Values(made)))
}

func listsOf(topic, subscription string, topics, subscriptions []string) {
	var snapshots []string
	for range 3 {
		request := &pb.CreateSnapshotRequest{Name: fresh("snapshot"), Subscription: subscription}
		snapshots = append(snapshots, must(subscriber.CreateSnapshot(ctx, request)).Name)
	}
	itself := func(name string) string { return name }
	lists("ListTopicSubscriptions",
		publisher.ListTopicSubscriptions(ctx, &pb.ListTopicSubscriptionsRequest{Topic: topic}), itself, subscriptions)
	lists("ListTopicSnapshots",
		publisher.ListTopicSnapshots(ctx, &pb.ListTopicSnapshotsRequest{Topic: topic}), itself, snapshots)
	where := "projects/" + project
	lists("ListTopics",
		publisher.ListTopics(ctx, &pb.ListTopicsRequest{Project: where}), (*pb.Topic).GetName, topics)
	lists("ListSubscriptions",
		subscriber.ListSubscriptions(ctx, &pb.ListSubscriptionsRequest{Project: where}), (*pb.Subscription).GetName,
		subscriptions)
	lists("ListSnapshots",
		subscriber.ListSnapshots(ctx, &pb.ListSnapshotsRequest{Project: where}), (*pb.Snapshot).GetName, snapshots)
}

func updatesTopic(topic string) {
	labels := map[string]string{"team": "blue"}
	must(publisher.UpdateTopic(ctx, &pb.UpdateTopicRequest{
		Topic: &pb.Topic{Name: topic, Labels: labels}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	}))
	equal("labels of the topic", must(publisher.GetTopic(ctx, &pb.GetTopicRequest{Topic: topic})).Labels, labels)
}

func updatesSubscription(subscription string) {
	changed := &pb.Subscription{
		Name:               subscription,
		Labels:             map[string]string{"team": "red"},
		AckDeadlineSeconds: 42,
		RetryPolicy: &pb.RetryPolicy{
			MinimumBackoff: durationpb.New(5 * time.Second), MaximumBackoff: durationpb.New(50 * time.Second),
		},
		DeadLetterPolicy:    &pb.DeadLetterPolicy{DeadLetterTopic: newTopic(), MaxDeliveryAttempts: 7},
		RetainAckedMessages: true, // What the mask does not name stays.
	}
	paths := []string{"labels", "ack_deadline_seconds", "retry_policy", "dead_letter_policy"}
	must(subscriber.UpdateSubscription(ctx, &pb.UpdateSubscriptionRequest{
		Subscription: changed, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
	}))
	got := get(subscription)
	equal("labels", got.Labels, changed.Labels)
	equal("ack_deadline_seconds", got.AckDeadlineSeconds, changed.AckDeadlineSeconds)
	assert(proto.Equal(got.RetryPolicy, changed.RetryPolicy), "retry_policy: %v", got.RetryPolicy)
	assert(proto.Equal(got.DeadLetterPolicy, changed.DeadLetterPolicy), "dead_letter_policy: %v", got.DeadLetterPolicy)
	equal("retain_acked_messages", got.RetainAckedMessages, false)
}
