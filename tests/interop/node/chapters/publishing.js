'use strict';
// What is published comes back as it was, however it was put into requests.
const assert = require('node:assert/strict');
const {acknowledge, listen, make, nothingComes, publish, pull, range, raw} = require('../stage');

const ack = message => message.ack();

async function publishesBatched() {
  const {topic, subscription} = await make();
  const began = Date.now();
  const messages = range(0, 2000).map(i => ({data: `message ${i}`, attributes: {index: `${i}`, colour: 'blue'}}));
  const ids = await publish(topic, messages, {batching: {maxMessages: 100, maxMilliseconds: 10}});
  const {received} = await listen(subscription, ack, listener => listener.receives(2000));
  await nothingComes(subscription);
  assert.equal(received.length, 2000, 'duplicates');
  const byId = new Map(received.map(message => [message.id, message]));
  assert.equal(byId.size, 2000, 'message ids twice');
  ids.forEach((id, i) => {
    const message = byId.get(id);
    assert.match(id, /^[0-9]+$/);
    assert.equal(message.data.toString(), `message ${i}`);
    assert.deepEqual({...message.attributes}, {index: `${i}`, colour: 'blue'});
    assert.ok(Math.abs(message.publishTime - began) < 60_000, `published at ${message.publishTime}`);
  });
}

async function thousandInOneRequest() {
  const {topic, subscription} = await make();
  const {publisher} = await raw;
  const messages = range(0, 1000).map(i => ({data: Buffer.from(`${i}`)}));
  const [{messageIds}] = await publisher.publish({topic, messages});
  assert.equal(messageIds.length, 1000);
  const received = await pull(subscription, 1000);
  const byId = new Map(received.map(({message}) => [message.messageId, message.data.toString()]));
  assert.deepEqual(messageIds.map(id => byId.get(id)), messages.map(message => message.data.toString()));
  await acknowledge(subscription, received);
}

async function nineMegabyteMessage() {
  const {topic, subscription} = await make();
  const data = Buffer.alloc(9_000_000, Buffer.from(range(0, 251)));
  await publish(topic, [{data}]);
  const {received} = await listen(subscription, ack, listener => listener.receives(1));
  assert.ok(received[0].data.equals(data), 'other bytes');
}

async function filtered() {
  const {topic, subscription} = await make({filter: 'attributes.color = "red" AND NOT attributes:skip'});
  await publish(topic, [
    {data: 'no attributes'},
    {data: 'first', attributes: {color: 'red'}},
    {data: 'skipped', attributes: {color: 'red', skip: ''}},
    {data: 'blue', attributes: {color: 'blue'}},
    {data: 'second', attributes: {color: 'red', size: 'big'}},
  ]);
  const received = await pull(subscription, 2);
  assert.deepEqual(received.map(r => r.message.data.toString()).sort(), ['first', 'second']);
  await nothingComes(subscription);
}

module.exports = {
  'publishes-batched': publishesBatched,
  'thousand-in-one-request': thousandInOneRequest,
  'nine-megabyte-message': nineMegabyteMessage,
  filtered,
};
