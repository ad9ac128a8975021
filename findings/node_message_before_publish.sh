#!/usr/bin/env bash
# The Node client of Google Cloud Pub/Sub hands out a message before it tells its publisher that the message is stored.
#
# Versions:  @google-cloud/pubsub 6.3.0, @grpc/grpc-js 1.14.7, @grpc/proto-loader 0.8.1, Node 20
# Behaviour: a server answers Publish and writes the same message to an open StreamingPull right after it, on the same
#            connection. The `message` event of the subscription comes before the promise of publishMessage() resolves, in
#            every one of 100 rounds: the answer of a unary call waits for its trailers and passes through several promises,
#            a message of a stream does not. With 2 ms between the two the order is the expected one as a rule.
# Seen:      {"message":100}
# Affects:   programs that register a message id after publishMessage() and look for it in the message handler. A server
#            cannot change it by answering first; docs/api.md ("Publishing") says so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >package.json <<'JSON'
{"private": true, "dependencies": {"@google-cloud/pubsub": "6.3.0", "@grpc/grpc-js": "1.14.7", "@grpc/proto-loader": "0.8.1"}}
JSON
npm install --silent --no-audit --no-fund --no-package-lock

cat >order.js <<'JS'
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const {PubSub} = require('@google-cloud/pubsub');

const build = name => path.resolve(path.dirname(require.resolve(name)), '..');
const definition = loader.loadSync('google/pubsub/v1/pubsub.proto', {
  includeDirs: [build('@google-cloud/pubsub') + '/protos', build('google-gax') + '/protos'],
});
const v1 = grpc.loadPackageDefinition(definition).google.pubsub.v1;

let stream;
let id = 0;
const server = new grpc.Server();
server.addService(v1.Publisher.service, {
  Publish(call, answer) {
    const messageId = String(++id);
    const [message] = call.request.messages;
    answer(null, {messageIds: [messageId]});
    stream.write({receivedMessages: [{ackId: messageId, message: {...message, messageId}}]});
  },
});
server.addService(v1.Subscriber.service, {
  StreamingPull(call) {
    stream = call;
    call.on('data', () => {});
    call.on('error', () => {});
  },
  Acknowledge: (call, answer) => answer(null, {}),
  ModifyAckDeadline: (call, answer) => answer(null, {}),
});

server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), async (error, port) => {
  if (error) throw error;
  process.env.PUBSUB_EMULATOR_HOST = `127.0.0.1:${port}`;
  const pubsub = new PubSub({projectId: 'p'});
  const topic = pubsub.topic('orders', {batching: {maxMessages: 1}});
  let happened;
  pubsub.subscription('billing').on('message', message => {
    message.ack();
    happened('message');
  });
  while (!stream) await new Promise(resolve => setTimeout(resolve, 20));
  const first = {};
  for (let round = 0; round < 100; ++round) {
    const order = [];
    await new Promise(resolve => {
      happened = what => order.push(what) === 2 && resolve();
      topic.publishMessage({data: Buffer.from('x')}).then(() => happened('published'));
    });
    first[order[0]] = (first[order[0]] || 0) + 1;
  }
  console.log(JSON.stringify(first));
  process.exit(0);
});
JS
seen=$(node order.js 2>/dev/null)
echo "seen: $seen"
[ "$seen" = '{"message":100}' ] || { echo "changed: expected {\"message\":100}"; exit 1; }
