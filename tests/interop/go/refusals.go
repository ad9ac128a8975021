package main

import (
	"fmt"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// What is refused, with the codes and texts of Google's service.

type refused struct {
	what string
	err  error
	code codes.Code
	text string // Empty: any.
}

// difference tells how the answer differs; empty where it does not.
func (r refused) difference() string {
	if r.err == nil {
		return r.what + ": it was accepted"
	}
	told := refusal(r.err).GRPCStatus()
	if told.Code() == r.code && (r.text == "" || r.text == told.Message()) {
		return ""
	}
	return fmt.Sprintf("%s: %v %s", r.what, told.Code(), told.Message())
}

func refusals() {
	topic, subscription := newPair(&pb.Subscription{})
	publish(topic, numbered(0, 1, "")...)
	pulled := pull(subscription, 1)
	var rows []refused
	rows = append(rows, refusedNames(topic, subscription)...)
	rows = append(rows, refusedMessages(topic)...)
	rows = append(rows, refusedAckIDs(subscription, pulled[0].AckId)...)
	rows = append(rows, refusedUpdates(subscription)...)
	rows = append(rows, refusedSubscriptions(topic)...)
	acknowledge(subscription, pulled...)
	var differences []string
	for _, row := range rows {
		if difference := row.difference(); difference != "" {
			differences = append(differences, difference)
		}
	}
	assert(len(differences) == 0, "%s", strings.Join(differences, " | "))
}

func createTopic(name string) error {
	return errorOf(publisher.CreateTopic(ctx, &pb.Topic{Name: name}, once...))
}

// create gives the fields a name where they have none.
func create(topic string, fields *pb.Subscription) error {
	if fields.Name == "" {
		fields.Name = fresh("subscription")
	}
	fields.Topic = topic
	return errorOf(subscriber.CreateSubscription(ctx, fields, once...))
}

func sendMessages(topic string, messages ...*pb.PubsubMessage) error {
	return errorOf(publisher.Publish(ctx, &pb.PublishRequest{Topic: topic, Messages: messages}, once...))
}

func pullOnce(subscription string, most int32) error {
	request := &pb.PullRequest{Subscription: subscription, MaxMessages: most}
	return errorOf(subscriber.Pull(ctx, request, once...))
}

func refusedNames(topic, subscription string) []refused {
	bad := fmt.Sprintf("projects/%s/topics/9starts-with-a-digit", project)
	missing := fresh("topic")
	taken := func(name string) string {
		return fmt.Sprintf("Resource already exists in the project (resource=%s).", short(name))
	}
	unknown := func(name string) string { return fmt.Sprintf("Resource not found (resource=%s).", short(name)) }
	page := &pb.ListTopicsRequest{Project: "projects/" + project, PageSize: -1}
	return []refused{
		{"bad name", createTopic(bad), codes.InvalidArgument, fmt.Sprintf("Invalid resource name given (name=%s). Refer to "+
			"https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.", bad)},
		{"topic exists", createTopic(topic), codes.AlreadyExists, taken(topic)},
		{"subscription exists", create(topic, &pb.Subscription{Name: subscription}), codes.AlreadyExists,
			taken(subscription)},
		{"get a missing topic", errorOf(publisher.GetTopic(ctx, &pb.GetTopicRequest{Topic: missing}, once...)),
			codes.NotFound, unknown(missing)},
		{"publish to a missing topic", sendMessages(missing, &pb.PubsubMessage{Data: []byte("a")}), codes.NotFound,
			unknown(missing)},
		{"subscribe to a missing topic", create(missing, &pb.Subscription{}), codes.NotFound, unknown(missing)},
		{"pull from a missing subscription", pullOnce(subscription+"x", 1), codes.NotFound, unknown(subscription + "x")},
		{"page size -1", errorOf(publisher.ListTopics(ctx, page, once...).Next()), codes.InvalidArgument, ""},
	}
}

func refusedMessages(topic string) []refused {
	many := make([]*pb.PubsubMessage, 1100)
	for i := range many {
		many[i] = &pb.PubsubMessage{Data: []byte("a")}
	}
	big := &pb.PubsubMessage{Data: make([]byte, 10_000_001)}
	size := proto.Size(&pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{big}})
	const few = "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1."
	const large = "The value for %s is too large. You passed %d in the request, but the maximum value is %d."
	return []refused{
		{"0 messages", sendMessages(topic), codes.InvalidArgument, few},
		{"1100 messages", sendMessages(topic, many...), codes.InvalidArgument,
			fmt.Sprintf(large, "message_count", 1100, 1000)},
		{"request size", sendMessages(topic, big), codes.InvalidArgument,
			fmt.Sprintf(large, "request_size", size, 10_000_000)},
		{"empty message", sendMessages(topic, &pb.PubsubMessage{}), codes.InvalidArgument, ""},
	}
}

func refusedAckIDs(subscription, ackID string) []refused {
	modify := &pb.ModifyAckDeadlineRequest{
		Subscription: subscription, AckIds: []string{ackID}, AckDeadlineSeconds: 601,
	}
	return []refused{
		{"modack 601", subscriber.ModifyAckDeadline(ctx, modify, once...), codes.InvalidArgument,
			"Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 0 and 600 seconds."},
		{"no ack id", sendAck(subscription), codes.InvalidArgument, "You have not specified an ack ID in the request."},
		{"bad ack id", sendAck(subscription, "bad"), codes.InvalidArgument,
			"You have passed an invalid ack ID to the service (ack_id=bad)."},
		{"max_messages 0", pullOnce(subscription, 0), codes.InvalidArgument,
			"You have passed an invalid argument to the service (argument=max_messages)."},
	}
}

func refusedUpdates(subscription string) []refused {
	update := func(fields *pb.Subscription, paths ...string) error {
		fields.Name = subscription
		request := &pb.UpdateSubscriptionRequest{
			Subscription: fields, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
		}
		return errorOf(subscriber.UpdateSubscription(ctx, request, once...))
	}
	labels := map[string]string{"a": "b"}
	const mask = "Invalid update_mask provided in the UpdateSubscriptionRequest: "
	return []refused{
		{"mask missing", update(&pb.Subscription{Labels: labels}), codes.InvalidArgument,
			"The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list."},
		{"mask immutable", update(&pb.Subscription{Filter: "attributes:a"}, "filter"), codes.InvalidArgument,
			mask + "the 'filter' field in the Subscription is not mutable."},
		{"mask unknown", update(&pb.Subscription{}, "pushConfig"), codes.InvalidArgument,
			mask + "pushConfig is not a known Subscription field. " +
				"Note that field paths must be of the form 'push_config' rather than 'pushConfig'."},
	}
}

func refusedSubscriptions(topic string) []refused {
	with := func(fields *pb.Subscription) error { return create(topic, fields) }
	brief := &pb.ExpirationPolicy{Ttl: durationpb.New(time.Hour)}
	return []refused{
		{"retention 9m59s", with(&pb.Subscription{MessageRetentionDuration: durationpb.New(599 * time.Second)}),
			codes.InvalidArgument, "The value for message retention duration is out of bounds. " +
				"You passed 9m59s in the request, but the value must be between 10m and 744h."},
		{"expiration 1h", with(&pb.Subscription{ExpirationPolicy: brief}), codes.InvalidArgument,
			"The value for expiration duration is too small. You passed 1h in the request, but the minimum value is 24h."},
		{"ack deadline 9", with(&pb.Subscription{AckDeadlineSeconds: 9}), codes.InvalidArgument, ""},
		{"bad filter", with(&pb.Subscription{Filter: "attributes.a = "}), codes.InvalidArgument, ""},
		{"pull on push", pullOnPush(topic), codes.FailedPrecondition,
			"This method is not supported for this subscription type."},
	}
}

func pullOnPush(topic string) error {
	push := &pb.Subscription{PushConfig: &pb.PushConfig{PushEndpoint: "https://example.com/push"}}
	if err := create(topic, push); err != nil {
		return err
	}
	return pullOnce(push.Name, 1)
}
