package main

import (
	"slices"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Going back and forth in a subscription.

func seekAndSnapshot() {
	topic, subscription := newPair(&pb.Subscription{RetainAckedMessages: true})
	takes := func(count int) {
		received := pull(subscription, count)
		acknowledge(subscription, received...)
		numbers := numbersOf(received)
		slices.Sort(numbers)
		equal("messages", numbers, upTo(0, count))
		nothingComes(subscription, time.Second)
	}
	seeks := func(to *pb.SeekRequest) {
		to.Subscription = subscription
		must(subscriber.Seek(ctx, to))
	}
	to := func(when time.Time) *pb.SeekRequest {
		return &pb.SeekRequest{Target: &pb.SeekRequest_Time{Time: timestamppb.New(when.Truncate(time.Second))}}
	}
	before := time.Now().Add(-time.Second)
	publish(topic, numbered(0, 20, "")...)
	snapshot := fresh("snapshot")
	created := must(subscriber.CreateSnapshot(ctx, &pb.CreateSnapshotRequest{Name: snapshot, Subscription: subscription}))
	equal("the snapshot", []string{created.Name, created.Topic}, []string{snapshot, topic})

	takes(20)
	seeks(&pb.SeekRequest{Target: &pb.SeekRequest_Snapshot{Snapshot: snapshot}})
	takes(20)
	publish(topic, numbered(20, 25, "")...)
	seeks(to(time.Now().Add(time.Hour)))
	nothingComes(subscription, time.Second)
	seeks(to(before))
	takes(25)
	check(subscriber.DeleteSnapshot(ctx, &pb.DeleteSnapshotRequest{Snapshot: snapshot}))
}
