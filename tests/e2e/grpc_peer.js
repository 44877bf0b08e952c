// tests/e2e/grpc_peer.js
//
// grpc-js as both ends of gRPC, for grpc_test.py: the same service and the same calls as grpc_peer.py. NODE_PATH says where it is.
'use strict';
const grpc = require('@grpc/grpc-js');

const bytes = (value) => value;
const method = (name, asks, answers) => ({path: '/test.Peer/' + name, requestStream: asks, responseStream: answers,
  requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes});
const service = {Echo: method('Echo', false, false), Fail: method('Fail', false, false), Collect: method('Collect', true, false),
  Count: method('Count', false, true), Chat: method('Chat', true, true), Hang: method('Hang', false, false),
  Cancelled: method('Cancelled', false, false), None: method('None', false, false)};

function serve() {
  const server = new grpc.Server({'grpc.max_receive_message_length': -1});
  let cancelled = false;
  server.addService(service, {
    Echo(call, done) {
      const initial = new grpc.Metadata();
      initial.set('x-initial-bin', Buffer.from([0, 1, 2]));
      call.sendMetadata(initial);
      const trailing = new grpc.Metadata();
      trailing.set('x-trailing-bin', call.metadata.get('x-sent-bin')[0] || Buffer.alloc(0));
      trailing.set('x-timeout', Number.isFinite(Number(call.getDeadline())) ? 'True' : 'False');
      done(null, call.request, trailing);
    },
    Fail(call, done) { done({code: grpc.status.FAILED_PRECONDITION, details: 'not now: 50% \u00e4'}); },
    Collect(call, done) {
      let sum = 0;
      call.on('data', (each) => { sum += each.length; });
      call.on('end', () => done(null, Buffer.from(String(sum))));
    },
    Count(call) {
      const end = Number(call.request.toString());
      let i = 0;
      const more = () => {
        while (i < end) if (!call.write(Buffer.from(String(i++)))) return call.once('drain', more);
        return call.end();
      };
      more();
    },
    Chat(call) {
      call.on('data', (each) => call.write(each));
      call.on('end', () => call.end());
    },
    Hang(call) { call.on('cancelled', () => { cancelled = true; }); },
    Cancelled(call, done) { setTimeout(() => done(null, Buffer.from(cancelled ? 'yes' : 'no')), 500); },
  });
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => console.log(port));
}

async function call(address) {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {'grpc.max_receive_message_length': -1});
  const said = {};
  const unary = (name, message, options = {}, metadata = new grpc.Metadata()) => new Promise((resolve) => {
    const facts = {};
    const made = client.makeUnaryRequest('/test.Peer/' + name, bytes, bytes, message, metadata, options, (error, reply) => {
      facts.error = error;
      facts.reply = reply;
      setImmediate(() => resolve(facts));
    });
    facts.call = made;
    made.on('metadata', (initial) => { facts.initial = initial; });
    made.on('status', (status) => { facts.status = status; });
  });
  const hex = (metadata, name) => (metadata.get(name)[0] || Buffer.alloc(0)).toString('hex');
  const sent = new grpc.Metadata();
  sent.set('x-sent-bin', Buffer.from([0xff, 0xfe, 0]));
  const first = await unary('Echo', Buffer.from('hello'), {deadline: Date.now() + 10000}, sent);
  if (first.error) throw first.error;
  said.unary = first.reply.toString();
  said.initial = hex(first.initial, 'x-initial-bin');
  said.trailing = hex(first.status.metadata, 'x-trailing-bin');
  said.timeout_passed = first.status.metadata.get('x-timeout')[0];
  said.large = (await unary('Echo', Buffer.alloc(3000000, 'x'))).reply.length;
  const failed = await unary('Fail', Buffer.alloc(0));
  said.fail = grpc.status[failed.error.code] + ': ' + failed.error.details;
  said.unknown = grpc.status[(await unary('None', Buffer.alloc(0))).error.code];
  said.collect = await new Promise((resolve, reject) => {
    const made = client.makeClientStreamRequest('/test.Peer/Collect', bytes, bytes, (error, reply) => (error ? reject(error) : resolve(reply.toString())));
    for (let i = 0; i < 100; ++i) made.write(Buffer.from('12345'));
    made.end();
  });
  said.count = await new Promise((resolve, reject) => {
    let count = 0;
    const made = client.makeServerStreamRequest('/test.Peer/Count', bytes, bytes, Buffer.from('100000'));
    made.on('data', () => { count += 1; });
    made.on('error', reject);
    made.on('end', () => resolve(count));
  });
  said.chat = await new Promise((resolve, reject) => {
    let sum = 0;
    const made = client.makeBidiStreamRequest('/test.Peer/Chat', bytes, bytes);
    made.on('data', (each) => { sum += each.length; });
    made.on('error', reject);
    made.on('end', () => resolve(sum));
    for (let i = 0; i < 1000; ++i) made.write(Buffer.from('ab'));
    made.end();
  });
  said.deadline = grpc.status[(await unary('Hang', Buffer.alloc(0), {deadline: Date.now() + 500})).error.code];
  const hanging = client.makeUnaryRequest('/test.Peer/Hang', bytes, bytes, Buffer.alloc(0), () => {});
  await new Promise((resolve) => { setTimeout(resolve, 300); });
  hanging.cancel();
  said.cancelled = (await unary('Cancelled', Buffer.alloc(0))).reply.toString();
  console.log(JSON.stringify(said));
  client.close();
}

({serve, call})[process.argv[2]](process.argv[3]);
