'use strict';
// Streams and messages that outlive silence, a crash of the server and their subscriber.
const assert = require('node:assert/strict');
const {Listener, eventually, listen, make, nothingComes, once, publish, pubsub, range, raw, sleep} = require('../stage');

async function idleAMinute() {
  const {topic, subscription} = await make();
  await listen(subscription, message => message.ack(), async listener => {
    await sleep(65_000);
    await publish(topic, [{data: 'after a minute'}]);
    const began = Date.now();
    await listener.receives(1);
    assert.ok(Date.now() - began < 1_000, `came after ${Date.now() - began} ms`);
    assert.deepEqual(listener.trouble, [], 'streams ended meanwhile');
  });
}

// One message after the other, each called once, so that the program sees the server go; beside it the client's own
// publisher, which tries again until it is confirmed.
async function survivesRestart() {
  const {topic, subscription} = await make();
  const {publisher} = await raw;
  const confirmed = [];
  const patient = [];
  const batches = pubsub.topic(topic);
  const ids = new Set();
  const handle = message => {
    ids.add(message.id);
    message.ack();
  };
  const publishUntil = (what, done) => eventually(what, async () => {
    patient.push(batches.publishMessage({data: Buffer.from('patient')}));
    const request = {topic, messages: [{data: Buffer.from('once')}]};
    try {
      confirmed.push((await publisher.publish(request, {...once, timeout: 5_000}))[0].messageIds[0]);
      return done(true);
    } catch {
      return done(false);
    }
  }, 60_000);
  await listen(subscription, handle, async listener => {
    await publishUntil('100 messages confirmed', () => confirmed.length >= 100);
    await listener.receives(100);
    console.log('RESTART');
    await publishUntil('the server goes away', answered => !answered);
    const enough = confirmed.length + 100;
    await publishUntil('100 more confirmed by the server that is back', () => confirmed.length >= enough);
    confirmed.push(...(await Promise.all(patient)));
    const missing = () => confirmed.filter(id => !ids.has(id)).length;
    await eventually(() => `${missing()} of ${confirmed.length} confirmed messages received`, () => missing() === 0, 60_000);
  });
}

async function cleanShutdown() {
  const {topic, subscription} = await make();
  await publish(topic, range(0, 50).map(i => ({data: `${i}`})));
  const acked = new Set();
  const first = new Listener(subscription, message => {
    if (acked.size === 25) return;
    acked.add(message.id);
    message.ack();
  });
  await first.receives(50);
  const began = Date.now();
  await first.close();
  assert.ok(Date.now() - began < 10_000, `closed after ${Date.now() - began} ms`);
  const left = new Set(first.received.map(m => m.id).filter(id => !acked.has(id)));
  const second = await listen(subscription, message => message.ack(), listener => listener.receives(25));
  assert.deepEqual(new Set(second.received.map(message => message.id)), left);
  await nothingComes(subscription);
}

module.exports = {
  'idle-a-minute': idleAMinute,
  'clean-shutdown': cleanShutdown,
  'survives-restart': survivesRestart,
};
