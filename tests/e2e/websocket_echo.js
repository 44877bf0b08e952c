// A WebSocket service on Node's http server: says each short text back. Argument: the port.
const http = require('http');
const crypto = require('crypto');

const server = http.createServer((_, reply) => reply.end('no'));
server.on('upgrade', (request, socket) => {
  const key = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + key + '\r\n\r\n');
  socket.on('data', (frame) => {
    const mask = frame.subarray(2, 6);
    const text = Buffer.from(frame.subarray(6).map((byte, i) => byte ^ mask[i % 4]));
    socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => {});
});
server.listen(Number(process.argv[2]), '127.0.0.1');
