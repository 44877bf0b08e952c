// tests/e2e/http2_origin.js
//
// Node's http2 as an origin in plain text, for http2_services_test.py. Says its port; what it saw of aborted requests is at /seen.
'use strict';
const http2 = require('node:http2');

const seen = {sessions: 0, aborted: 0};
const offers = process.argv[3] === 'websocket';
const server = http2.createServer({settings: {maxConcurrentStreams: Number(process.argv[2] || 100), enableConnectProtocol: offers}});
server.on('session', () => { seen.sessions += 1; });
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  stream.on('aborted', () => { seen.aborted += 1; });
  const path = headers[':path'];
  if (headers[':method'] === 'CONNECT') {  // RFC 8441; what comes is said again
    stream.respond({':status': 200, 'x-protocol': headers[':protocol'], 'x-key': String(headers['sec-websocket-key'])});
    stream.pipe(stream);
  } else if (path === '/seen') {
    stream.respond({':status': 200, 'content-type': 'application/json'});
    stream.end(JSON.stringify(seen));
  } else if (path === '/head') {
    stream.respond({':status': 200, 'content-type': 'application/json'});
    stream.end(JSON.stringify(headers));
  } else if (path === '/echo') {
    stream.respond({':status': 200, 'x-from': 'node'}, {waitForTrailers: true});
    let bytes = 0;
    stream.on('data', (piece) => { bytes += piece.length; });
    stream.on('wantTrailers', () => { stream.sendTrailers({'x-bytes': String(bytes)}); });
    stream.pipe(stream);
  } else if (path === '/early') {  // an answer while the upload goes on, of which nothing is read
    stream.respond({':status': 413});
    stream.end('too much');
  } else if (path.startsWith('/big/')) {
    const size = Number(path.slice(5));
    stream.respond({':status': 200, 'content-length': size});
    let left = size;
    const more = () => {
      while (left > 0) {
        const piece = Buffer.alloc(Math.min(left, 65536), 'b');
        left -= piece.length;
        if (!stream.write(piece)) return stream.once('drain', more);
      }
      return stream.end();
    };
    more();
  } else if (path === '/hang') {
    // nothing comes
  } else {
    stream.respond({':status': 404}, {endStream: true});
  }
});
server.listen(0, '127.0.0.1', () => { console.log(server.address().port); });
