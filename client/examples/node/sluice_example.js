// node sluice_example.js publish TOPIC COUNT | subscribe SUBSCRIPTION TOPIC COUNT
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const protos = path.join(__dirname, '../../../protos');
const files = ['sluice/v1/pubsub.proto', 'sluice/v1/admin.proto'];
const { sluice } = grpc.loadPackageDefinition(
  loader.loadSync(files, { includeDirs: [protos], keepCase: true, longs: String }));
const server = process.env.SLUICE_SERVER || '127.0.0.1:8085';
const admin = new sluice.v1.Admin(server, grpc.credentials.createInsecure());
const pubsub = new sluice.v1.PubSub(server, grpc.credentials.createInsecure());

function ensure(method, request) {
  return new Promise((resolve, reject) => admin[method](request, (error) =>
    error && error.code !== grpc.status.ALREADY_EXISTS ? reject(error) : resolve()));
}

async function topicName(topic) {
  const name = `projects/examples/topics/${topic}`;
  await ensure('CreateTopic', { topic: { name } });
  return name;
}

async function publish(topic, count) {
  const name = await topicName(topic);
  const stream = pubsub.Publish();
  stream.on('data', ({ results }) => results.forEach((result) =>
    console.log('published', result.first_message_id, result.error ? result.error.message : '')));
  for (let i = 0; i < count; i++) {
    const message = { data: Buffer.from(`message ${i} ✓`), attributes: { language: 'node', n: String(i) } };
    stream.write({ topic: name, batch_id: i, messages: [message] });
  }
  stream.end();
}

async function subscribe(subscription, topic, count) {
  const name = `projects/examples/subscriptions/${subscription}`;
  const wanted = { name, topic: await topicName(topic), start: { earliest: true } };
  await ensure('CreateSubscription', { subscription: wanted });
  const stream = pubsub.Subscribe();
  stream.on('data', ({ deliveries }) => (deliveries || []).forEach(({ delivery_id, message }) => {
    console.log('received', message.attributes.language, message.attributes.n, message.data.toString());
    stream.write({ acks: [{ first: delivery_id }] });
    if (--count === 0) stream.end();
  }));
  stream.write({ subscription: name, credit: { messages: count } });
}

const [action, ...rest] = process.argv.slice(2);
const done = action === 'publish' ? publish(rest[0], Number(rest[1])) : subscribe(rest[0], rest[1], Number(rest[2]));
done.catch((error) => { console.error(error.message); process.exit(1); });
