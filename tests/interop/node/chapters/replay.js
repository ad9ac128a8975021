'use strict';
// Going back and forth in a subscription.
const assert = require('node:assert/strict');
const {acknowledge, fresh, make, nothingComes, publish, pull, range, raw} = require('../stage');

const at = milliseconds => ({seconds: Math.floor(milliseconds / 1000), nanos: 0});

async function seekAndSnapshot() {
  const {topic, subscription} = await make({retainAckedMessages: true});
  const {subscriber} = await raw;
  const takes = async count => {
    const received = await pull(subscription, count);
    await acknowledge(subscription, received);
    assert.deepEqual(received.map(r => Number(r.message.data)).sort((a, b) => a - b), range(0, count));
    await nothingComes(subscription);
  };
  const before = Date.now() - 1_000;
  await publish(topic, range(0, 20).map(i => ({data: `${i}`})));
  const snapshot = fresh('snapshot');
  const [created] = await subscriber.createSnapshot({name: snapshot, subscription});
  assert.deepEqual([created.name, created.topic], [snapshot, topic]);

  await takes(20);
  await subscriber.seek({subscription, snapshot});
  await takes(20);
  await publish(topic, range(20, 25).map(i => ({data: `${i}`})));
  await subscriber.seek({subscription, time: at(Date.now() + 3_600_000)});
  await nothingComes(subscription);
  await subscriber.seek({subscription, time: at(before)});
  await takes(25);
  await subscriber.deleteSnapshot({snapshot});
}

module.exports = {'seek-and-snapshot': seekAndSnapshot};
