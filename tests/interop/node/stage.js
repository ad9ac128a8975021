'use strict';
// What the chapters share: topics and subscriptions with names of their own, the client's generated calls, and a
// subscriber that keeps what it received.
const crypto = require('node:crypto');
const {setTimeout: sleep} = require('node:timers/promises');
process.env.METADATA_SERVER_DETECTION ??= 'none'; // There are no credentials to look for.
const {PubSub, v1} = require('@google-cloud/pubsub');

const PROJECT = process.env.SLUICE_PROJECT || 'interop';
// Milliseconds for what should come at once; never decides how fast something is.
const PATIENCE = 30_000;

const pubsub = new PubSub({projectId: PROJECT});
// The generated clients check nothing before they send. `once` keeps them from hiding a refusal behind retries.
const raw = pubsub.getClientConfig().then(config => ({
  publisher: new v1.PublisherClient(config),
  subscriber: new v1.SubscriberClient(config),
}));
const once = {retry: {retryCodes: []}, timeout: 10_000};

const range = (from, to) => Array.from({length: to - from}, (_, i) => from + i);
const short = name => name.split('/').at(-1);
const fresh = kind => `projects/${PROJECT}/${kind}s/node-${kind}-${crypto.randomBytes(6).toString('hex')}`;

/** A new topic; its full name. */
async function makeTopic(fields = {}) {
  const {publisher} = await raw;
  const [{name}] = await publisher.createTopic({name: fresh('topic'), ...fields});
  return name;
}

/** A new subscription of `topic`; its full name. */
async function makeSubscription(topic, fields = {}) {
  const {subscriber} = await raw;
  const [{name}] = await subscriber.createSubscription({name: fresh('subscription'), topic, ...fields});
  return name;
}

/** A new topic with one subscription. */
async function make(fields) {
  const topic = await makeTopic();
  return {topic, subscription: await makeSubscription(topic, fields)};
}

/** Publishes through the client's own batches; the message ids. */
function publish(topic, messages, options = {}) {
  const publisher = pubsub.topic(topic, options);
  return Promise.all(messages.map(({data, ...rest}) => publisher.publishMessage({data: Buffer.from(data), ...rest})));
}

/** Waits until `done()` is true; throws an error that names `what` after PATIENCE. */
async function eventually(what, done, patience = PATIENCE) {
  for (const end = Date.now() + patience; !(await done()); await sleep(20)) {
    const told = () => (typeof what === 'string' ? what : what());
    if (Date.now() > end) throw new Error(`not within ${patience / 1000} s: ${told()}`);
  }
}

/** `count` messages by unary pulls, left unacknowledged; throws when they do not come. */
async function pull(subscription, count) {
  const {subscriber} = await raw;
  const received = [];
  await eventually(() => `pulled ${received.length} of ${count} messages`, async () => {
    const request = {subscription, maxMessages: count - received.length, returnImmediately: true};
    received.push(...(await subscriber.pull(request))[0].receivedMessages);
    return received.length >= count;
  });
  return received;
}

/** Throws when a message comes within `wait` milliseconds. */
async function nothingComes(subscription, wait = 1_000) {
  const {subscriber} = await raw;
  for (const end = Date.now() + wait; Date.now() < end; await sleep(100)) {
    const [{receivedMessages}] = await subscriber.pull({subscription, maxMessages: 10, returnImmediately: true});
    if (receivedMessages.length) throw new Error(`${receivedMessages.length} messages that should be gone`);
  }
}

async function acknowledge(subscription, received) {
  if (!received.length) return;
  const {subscriber} = await raw;
  await subscriber.acknowledge({subscription, ackIds: received.map(r => r.ackId)}, once);
}

/** Sets the deadline of what was pulled; 0 is a nack. */
async function extend(subscription, received, ackDeadlineSeconds) {
  const {subscriber} = await raw;
  await subscriber.modifyAckDeadline({subscription, ackIds: received.map(r => r.ackId), ackDeadlineSeconds}, once);
}

/** A streaming pull that gives each message to `handle` and keeps what came. */
class Listener {
  constructor(subscription, handle, options) {
    this.received = [];
    this.trouble = []; // Why streams of it ended.
    this._subscription = pubsub.subscription(subscription, options);
    this._subscription
      .on('message', message => {
        this.received.push(message);
        handle(message);
      })
      .on('debug', event => this.trouble.push(event.message))
      .on('error', error => this.trouble.push(error.message));
  }

  receives(count) {
    const what = () => `received ${this.received.length} of ${count} messages ${this.trouble.join(', ')}`;
    return eventually(what, () => this.received.length >= count);
  }

  close() {
    return this._subscription.close();
  }
}

/** Runs `body` while a Listener is open; the listener. */
async function listen(subscription, handle, body, options) {
  const listener = new Listener(subscription, handle, options);
  try {
    await body(listener);
  } finally {
    await listener.close();
  }
  return listener;
}

/** The error of a call that must be refused. */
async function refusal(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error('it was accepted');
}

module.exports = {
  PROJECT, acknowledge, eventually, extend, fresh, listen, Listener, make, makeSubscription, makeTopic, nothingComes,
  once, publish, pubsub, pull, range, raw, refusal, short, sleep,
};
