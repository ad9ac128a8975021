'use strict';
// What becomes of a message that is acknowledged, refused, held or left alone.
const assert = require('node:assert/strict');
const {AckResponses} = require('@google-cloud/pubsub');
const {
  PROJECT, acknowledge, eventually, extend, listen, Listener, make, makeSubscription, makeTopic, nothingComes, once, publish, pull,
  range, raw, refusal, short, sleep,
} = require('../stage');

const numbered = (from, to, fields) => range(from, to).map(i => ({data: `${i}`, ...fields}));
const number = message => Number(message.data.toString());
const rises = numbers => numbers.every((n, i) => i === 0 || numbers[i - 1] < n);

async function ordered() {
  const {topic, subscription} = await make({enableMessageOrdering: true});
  const keys = range(0, 10).map(k => `key-${k}`);
  await publish(topic, keys.flatMap(orderingKey => numbered(0, 50, {orderingKey})), {messageOrdering: true});
  let refused = false;
  const handle = message => {
    if (!refused && message.orderingKey === 'key-3' && number(message) === 20) {
      refused = true;
      message.nack();
    } else {
      message.ack();
    }
  };
  const of = (listener, key) => listener.received.filter(m => m.orderingKey === key).map(number);
  // What was on its way when 20 was refused may still come: in order up to its return, and in order from there on.
  const whole = numbers => range(0, 50).every(n => numbers.includes(n));
  const returned = numbers => numbers.lastIndexOf(20) > numbers.indexOf(20);
  await listen(subscription, handle, async listener => {
    await eventually(
      () => `all of ${listener.received.length} messages, 20 of key-3 twice: ${of(listener, 'key-3')}`,
      () => keys.every(key => whole(of(listener, key))) && returned(of(listener, 'key-3'))
    );
    for (const key of keys.filter(k => k !== 'key-3')) assert.deepEqual(of(listener, key), range(0, 50), key);
    const numbers = of(listener, 'key-3');
    const again = numbers.lastIndexOf(20);
    assert.ok(rises(numbers.slice(0, again)) && rises(numbers.slice(again)), `key-3: ${numbers}`);
  });
  await refusedTakesItsSuccessorsAlong();
}

async function refusedTakesItsSuccessorsAlong() {
  const {topic, subscription} = await make({enableMessageOrdering: true});
  const {subscriber} = await raw;
  await publish(topic, numbered(0, 10, {orderingKey: 'key'}), {messageOrdering: true});
  const [{receivedMessages: first}] = await subscriber.pull({subscription, maxMessages: 10});
  const middle = Math.floor(first.length / 2);
  await acknowledge(subscription, first.slice(0, middle));
  await extend(subscription, [first[middle]], 0);
  const seen = [];
  while (seen.length < 10 - middle) {
    const received = await pull(subscription, 1);
    seen.push(...received.map(r => number(r.message)));
    await acknowledge(subscription, received);
  }
  assert.deepEqual(seen, range(middle, 10), `after ${middle} of ${first.length} pulled was refused`);
}

async function ackAndNack() {
  const {topic, subscription} = await make();
  await publish(topic, numbered(0, 100));
  const seen = new Set();
  const handle = message => {
    if (seen.has(message.id)) {
      message.ack();
    } else {
      seen.add(message.id);
      message.nack();
    }
  };
  const {received} = await listen(subscription, handle, listener => listener.receives(200));
  await nothingComes(subscription, 12_000); // Longer than the deadline of a lease that was not settled.
  assert.equal(received.length, 200);
  assert.equal(seen.size, 100);
}

async function exactlyOnce() {
  const {topic, subscription} = await make({enableExactlyOnceDelivery: true});
  const {subscriber} = await raw;
  const listener = new Listener(subscription, () => {});
  try {
    await publish(topic, numbered(0, 100));
    await listener.receives(100);
    const answers = await Promise.all(listener.received.map(message => message.ackWithResponse()));
    assert.ok(answers.every(answer => answer === AckResponses.Success), `${answers}`);
    // Of one that was acknowledged beside it, alone in its request: the client fails all of a request with one bad id.
    await publish(topic, numbered(100, 101));
    await listener.receives(101);
    const last = listener.received.at(-1);
    await acknowledge(subscription, [last]);
    assert.equal((await refusal(last.ackWithResponse())).errorCode, AckResponses.Invalid);
    assert.ok(listener.received.every(message => message.isExactlyOnceDelivery), 'the stream does not say exactly once');
  } finally {
    await listener.close();
  }

  const refuses = async (ackIds, bad) => {
    const error = await refusal(subscriber.acknowledge({subscription, ackIds}, once));
    assert.equal(error.code, 3, error.message);
    assert.match(error.details, /^Some acknowledgement ids in the request were invalid\. This could be because the /);
    assert.equal(error.reason, 'EXACTLY_ONCE_ACKID_FAILURE');
    assert.equal(error.domain, 'pubsub.googleapis.com');
    assert.deepEqual({...error.errorInfoMetadata}, {[bad]: 'PERMANENT_FAILURE_INVALID_ACK_ID'});
  };
  await publish(topic, numbered(0, 2));
  const [settled, good] = await pull(subscription, 2);
  await acknowledge(subscription, [settled]);
  await refuses([settled.ackId, good.ackId], settled.ackId);
  await refuses([good.ackId], good.ackId); // It was applied.

  await publish(topic, numbered(0, 1));
  const [expired] = await pull(subscription, 1);
  await extend(subscription, [expired], 1);
  const [current] = await pull(subscription, 1);
  await refuses([expired.ackId], expired.ackId);
  await acknowledge(subscription, [current]);
}

async function deadLetters() {
  const {topic: deadLetterTopic, subscription: graveyard} = await make();
  const {topic, subscription} = await make({deadLetterPolicy: {deadLetterTopic, maxDeliveryAttempts: 5}});
  await publish(topic, [{data: 'poison', attributes: {colour: 'green'}}]);
  let message;
  const {received} = await listen(subscription, m => m.nack(), async () => {
    [{message}] = await pull(graveyard, 1);
  });
  await nothingComes(subscription);
  assert.deepEqual(received.map(m => m.deliveryAttempt), [1, 2, 3, 4, 5]);
  assert.equal(message.data.toString(), 'poison');
  const prefix = 'CloudPubSubDeadLetterSource';
  const published = message.attributes[`${prefix}TopicPublishTime`];
  const expected = {
    colour: 'green',
    [`${prefix}DeliveryCount`]: '5',
    [`${prefix}Subscription`]: short(subscription),
    [`${prefix}SubscriptionProject`]: PROJECT,
  };
  for (const [key, value] of Object.entries(expected)) assert.equal(message.attributes[key], value, key);
  assert.ok(Math.abs(new Date(published) - received[0].publishTime) < 1_000, `TopicPublishTime ${published}`);
}

async function flowControl() {
  const topic = await makeTopic();
  const [subscription, held] = [await makeSubscription(topic), await makeSubscription(topic)];
  await publish(topic, numbered(0, 100));
  let [now, most] = [0, 0];
  const handle = async message => {
    most = Math.max(most, ++now);
    await sleep(20);
    now--;
    message.ack();
  };
  const options = {flowControl: {maxMessages: 10, allowExcessMessages: false}};
  const {received} = await listen(subscription, handle, listener => listener.receives(100), options);
  assert.ok(most <= 10, `${most} at once`);
  assert.equal(received.length, 100);
  await serverHoldsBack(held);
}

/** The server's part of it: a stream that says 10 gets 10, and more only for what is acknowledged, here by unary calls. */
async function serverHoldsBack(subscription) {
  const {subscriber} = await raw;
  const received = [];
  const stream = subscriber.streamingPull();
  stream.on('error', () => {}).on('data', response => received.push(...response.receivedMessages));
  try {
    stream.write({subscription, streamAckDeadlineSeconds: 60, maxOutstandingMessages: 10});
    await eventually(() => `10 messages on the stream, not ${received.length}`, () => received.length >= 10);
    await sleep(1_000);
    assert.equal(received.length, 10, 'messages on a stream of max_outstanding_messages 10');
    await acknowledge(subscription, received.slice(0, 4));
    await eventually(() => `14 messages on the stream, not ${received.length}`, () => received.length >= 14);
    await sleep(1_000);
    assert.equal(received.length, 14, 'messages after 4 were acknowledged');
  } finally {
    stream.cancel();
  }
}

async function unaryPull() {
  const {topic, subscription} = await make();
  const {subscriber} = await raw;
  const began = Date.now();
  const [empty] = await subscriber.pull({subscription, maxMessages: 1, returnImmediately: true});
  assert.ok(empty.receivedMessages.length === 0 && Date.now() - began < 5_000, `${Date.now() - began} ms for nothing`);

  // A pull that waits gets what is published meanwhile.
  const waiting = subscriber.pull({subscription, maxMessages: 1});
  await publish(topic, [{data: '0'}]);
  await acknowledge(subscription, (await waiting)[0].receivedMessages);

  await publish(topic, numbered(1, 4));
  const received = await pull(subscription, 3);
  assert.deepEqual(received.map(r => number(r.message)).sort(), [1, 2, 3]);
  const [refused, long, done] = received;
  await extend(subscription, [refused], 0);
  await extend(subscription, [long], 60);
  await acknowledge(subscription, [done]);
  const [again] = await pull(subscription, 1);
  assert.equal(again.message.messageId, refused.message.messageId);
  await acknowledge(subscription, [again]);
  await nothingComes(subscription, 12_000); // Longer than the deadline that was extended.
  await acknowledge(subscription, [long]);
}

module.exports = {
  ordered,
  'ack-and-nack': ackAndNack,
  'exactly-once': exactlyOnce,
  'dead-letters': deadLetters,
  'flow-control': flowControl,
  'unary-pull': unaryPull,
};
