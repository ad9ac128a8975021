'use strict';
// Topics, subscriptions and snapshots as things to make, change, list and be refused.
const assert = require('node:assert/strict');
const {
  PROJECT, acknowledge, fresh, make, makeSubscription, makeTopic, once, publish, pull, range, raw, refusal, short,
} = require('../stage');

const [INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION] = [3, 5, 6, 9];

async function errors() {
  const {topic, subscription} = await make();
  const {publisher, subscriber} = await raw;
  await publish(topic, [{data: 'a'}]);
  const [{ackId}] = await pull(subscription, 1);

  const missing = fresh('topic');
  const bad = `projects/${PROJECT}/topics/9starts-with-a-digit`;
  const messages = count => Array(count).fill({data: Buffer.from('a')});
  const create = fields => subscriber.createSubscription({name: fresh('subscription'), topic, ...fields}, once);
  const update = (paths, fields) =>
    subscriber.updateSubscription({subscription: {name: subscription, ...fields}, updateMask: {paths}}, once);
  const mask = 'Invalid update_mask provided in the UpdateSubscriptionRequest: ';
  const pullOnPush = async () => {
    const push = await makeSubscription(topic, {pushConfig: {pushEndpoint: 'https://example.com/push'}});
    return subscriber.pull({subscription: push, maxMessages: 1}, once);
  };
  const publishes = request => publisher.publish({topic, ...request}, once);

  // What is asked, the code and the text (absent: any) of the answer.
  const cases = [
    ['bad name', publisher.createTopic({name: bad}, once), INVALID_ARGUMENT,
      `Invalid resource name given (name=${bad}). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.`],
    ['topic exists', publisher.createTopic({name: topic}, once), ALREADY_EXISTS,
      `Resource already exists in the project (resource=${short(topic)}).`],
    ['subscription exists', create({name: subscription}), ALREADY_EXISTS,
      `Resource already exists in the project (resource=${short(subscription)}).`],
    ['get a missing topic', publisher.getTopic({topic: missing}, once), NOT_FOUND,
      `Resource not found (resource=${short(missing)}).`],
    ['publish to a missing topic', publishes({topic: missing, messages: messages(1)}), NOT_FOUND,
      `Resource not found (resource=${short(missing)}).`],
    ['subscribe to a missing topic', create({topic: missing}), NOT_FOUND,
      `Resource not found (resource=${short(missing)}).`],
    ['pull from a missing subscription', subscriber.pull({subscription: subscription + 'x', maxMessages: 1}, once), NOT_FOUND,
      `Resource not found (resource=${short(subscription)}x).`],
    ['0 messages', publishes({messages: []}), INVALID_ARGUMENT,
      'The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.'],
    ['1100 messages', publishes({messages: messages(1100)}), INVALID_ARGUMENT,
      'The value for message_count is too large. You passed 1100 in the request, but the maximum value is 1000.'],
    ['request size', publishes({messages: [{data: Buffer.alloc(10_000_001)}]}), INVALID_ARGUMENT,
      /^The value for request_size is too large. You passed 100[0-9]{5} in the request, but the maximum value is 10000000.$/],
    ['empty message', publishes({messages: [{}]}), INVALID_ARGUMENT],
    ['modack 601', subscriber.modifyAckDeadline({subscription, ackIds: [ackId], ackDeadlineSeconds: 601}, once),
      INVALID_ARGUMENT,
      'Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 0 and 600 seconds.'],
    ['no ack id', subscriber.acknowledge({subscription, ackIds: []}, once), INVALID_ARGUMENT,
      'You have not specified an ack ID in the request.'],
    ['bad ack id', subscriber.acknowledge({subscription, ackIds: ['bad']}, once), INVALID_ARGUMENT,
      'You have passed an invalid ack ID to the service (ack_id=bad).'],
    ['max_messages 0', subscriber.pull({subscription, maxMessages: 0}, once), INVALID_ARGUMENT,
      'You have passed an invalid argument to the service (argument=max_messages).'],
    ['mask missing', update([], {labels: {a: 'b'}}), INVALID_ARGUMENT,
      'The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list.'],
    ['mask immutable', update(['filter'], {filter: 'attributes:a'}), INVALID_ARGUMENT,
      `${mask}the 'filter' field in the Subscription is not mutable.`],
    ['mask unknown', update(['pushConfig'], {}), INVALID_ARGUMENT,
      `${mask}pushConfig is not a known Subscription field. Note that field paths must be of the form 'push_config' rather than 'pushConfig'.`],
    ['retention 9m59s', create({messageRetentionDuration: {seconds: 599}}), INVALID_ARGUMENT,
      'The value for message retention duration is out of bounds. You passed 9m59s in the request, but the value must be between 10m and 744h.'],
    ['expiration 1h', create({expirationPolicy: {ttl: {seconds: 3600}}}), INVALID_ARGUMENT,
      'The value for expiration duration is too small. You passed 1h in the request, but the minimum value is 24h.'],
    ['ack deadline 9', create({ackDeadlineSeconds: 9}), INVALID_ARGUMENT],
    ['bad filter', create({filter: 'attributes.a = '}), INVALID_ARGUMENT],
    ['page size -1', publisher.listTopics({project: `projects/${PROJECT}`, pageSize: -1}, {...once, autoPaginate: false}),
      INVALID_ARGUMENT],
    ['pull on push', pullOnPush(), FAILED_PRECONDITION,
      'This method is not supported for this subscription type.'],
  ];
  const differences = await Promise.all(cases.map(async ([name, call, code, text]) => {
    const error = await refusal(call).catch(accepted => accepted);
    const told = error.details ?? error.message;
    const same = text === undefined || (text instanceof RegExp ? text.test(told) : text === told);
    return error.code === code && same ? [] : `${name}: ${error.code ?? ''} ${told}`;
  }));
  await acknowledge(subscription, [{ackId}]);
  assert.deepEqual(differences.flat(), []);
}

async function updateAndList() {
  const {publisher, subscriber} = await raw;
  const {topic, subscription} = await make();
  await updates(topic, subscription);

  const topics = [topic, ...(await Promise.all(range(0, 4).map(() => makeTopic())))];
  const subscriptions = [subscription, ...(await Promise.all(range(0, 4).map(() => makeSubscription(topic))))];
  const snapshots = range(0, 3).map(() => fresh('snapshot'));
  for (const name of snapshots) await subscriber.createSnapshot({name, subscription});
  const project = `projects/${PROJECT}`;
  const named = found => found.name ?? found;
  const listed = async (client, method, request) => {
    const names = [];
    for (let pageToken = ''; ; ) {
      const [page, , response] = await client[method]({...request, pageSize: 2, pageToken}, {autoPaginate: false});
      assert.ok(page.length <= 2, `a page of ${page.length}`);
      names.push(...page.map(named));
      pageToken = response.nextPageToken;
      if (!pageToken) return names.sort();
    }
  };
  const ours = (names, made) => names.filter(name => made.includes(name));
  assert.deepEqual(await listed(publisher, 'listTopicSubscriptions', {topic}), [...subscriptions].sort());
  assert.deepEqual(await listed(publisher, 'listTopicSnapshots', {topic}), [...snapshots].sort());
  assert.deepEqual(ours(await listed(publisher, 'listTopics', {project}), topics), [...topics].sort());
  assert.deepEqual(ours(await listed(subscriber, 'listSubscriptions', {project}), subscriptions), [...subscriptions].sort());
  assert.deepEqual(ours(await listed(subscriber, 'listSnapshots', {project}), snapshots), [...snapshots].sort());

  await publisher.detachSubscription({subscription: subscriptions[1]});
  const error = await refusal(subscriber.pull({subscription: subscriptions[1], maxMessages: 1}, once));
  assert.equal(error.code, FAILED_PRECONDITION, error.message);
  assert.equal((await subscriber.getSubscription({subscription: subscriptions[1]}))[0].detached, true);
  await publisher.deleteTopic({topic});
  assert.equal((await subscriber.getSubscription({subscription}))[0].topic, '_deleted-topic_');
}

async function updates(topic, subscription) {
  const {publisher, subscriber} = await raw;
  await publisher.updateTopic({topic: {name: topic, labels: {team: 'blue'}}, updateMask: {paths: ['labels']}});
  assert.deepEqual({...(await publisher.getTopic({topic}))[0].labels}, {team: 'blue'});

  const deadLetterTopic = await makeTopic();
  const changed = {
    labels: {team: 'red'},
    ackDeadlineSeconds: 42,
    retryPolicy: {minimumBackoff: {seconds: 5}, maximumBackoff: {seconds: 50}},
    deadLetterPolicy: {deadLetterTopic, maxDeliveryAttempts: 7},
  };
  const paths = ['labels', 'ack_deadline_seconds', 'retry_policy', 'dead_letter_policy'];
  // What the mask does not name stays.
  await subscriber.updateSubscription({
    subscription: {name: subscription, ...changed, retainAckedMessages: true}, updateMask: {paths},
  });
  const [got] = await subscriber.getSubscription({subscription});
  assert.deepEqual({...got.labels}, changed.labels);
  assert.equal(got.ackDeadlineSeconds, 42);
  assert.equal(Number(got.retryPolicy.minimumBackoff.seconds), 5);
  assert.equal(Number(got.retryPolicy.maximumBackoff.seconds), 50);
  assert.deepEqual({...got.deadLetterPolicy}, changed.deadLetterPolicy);
  assert.equal(got.retainAckedMessages, false);
}

module.exports = {errors, 'update-and-list': updateAndList};
