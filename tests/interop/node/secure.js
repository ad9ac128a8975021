'use strict';
// The official Node client with TLS and a token: publishes to a topic of its own and receives that.
//
//   SLUICE_SERVER=localhost:8085 SLUICE_CA=ca.crt SLUICE_TOKEN=sluice_... node secure.js
process.env.METADATA_SERVER_DETECTION ??= 'none'; // There are no credentials to look for.
const fs = require('node:fs');
const {once} = require('node:events');
const {PubSub} = require('@google-cloud/pubsub');
const {grpc} = require('google-gax');

const authorization = grpc.credentials.createFromMetadataGenerator((_, done) => {
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${process.env.SLUICE_TOKEN}`);
  done(null, metadata);
});
const [host, port] = process.env.SLUICE_SERVER.split(':');
const pubsub = new PubSub({
  projectId: 'team-a',
  servicePath: host,
  port: Number(port),
  sslCreds: grpc.credentials.combineChannelCredentials(
    grpc.credentials.createSsl(fs.readFileSync(process.env.SLUICE_CA)), authorization),
});

async function main() {
  const [topic] = await pubsub.createTopic('secure-node');
  const [subscription] = await topic.createSubscription('secure-node');
  await topic.publishMessage({data: Buffer.from('hello')});
  const [message] = await once(subscription, 'message');
  if (message.data.toString() !== 'hello') throw new Error(`received ${message.data}`);
  message.ack();
  await subscription.close();
  await pubsub.close();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
