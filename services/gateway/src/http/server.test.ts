import { connect, type Socket } from 'node:net';
import { waitFor } from '@candlewire/testkit';
import { createHttpServer, type HttpServer } from './server';

const TIMEOUTS = { headersMs: 100, requestMs: 200, checkEveryMs: 20 };
const servers: HttpServer[] = [];
const sockets: Socket[] = [];

async function listening(options: Parameters<typeof createHttpServer>[1]): Promise<number> {
  const server = createHttpServer((req, res) => {
    req.resume().on('end', () => res.end(`${Object.keys(req.headers).length} headers`));
  }, options);
  servers.push(server);
  return server.listen(0, '127.0.0.1');
}

/** A connection that sent these bytes, and what came back so far. */
function speak(port: number, bytes: string) {
  const heard = { text: '', ended: false };
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
  socket.on('data', (data) => (heard.text += data));
  socket.on('close', () => (heard.ended = true));
  socket.on('error', () => {});
  sockets.push(socket);
  return heard;
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) {
    server.stopAccepting();
    server.cut();
    await server.drained();
  }
});

test.each([
  ['says nothing', ''],
  ['never ends its headers', 'GET / HTTP/1.1\r\nHost: x\r\n'],
  ['never sends the body it promised', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc'],
  ['never ends its handshake', 'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n'],
])('who %s is told so and cut off', async (_what, bytes) => {
  const heard = speak(await listening({ timeouts: TIMEOUTS }), bytes);
  await waitFor(() => heard.ended, { what: 'the connection is closed' });
  expect(heard.text).toMatch(/^HTTP\/1.1 408 [\s\S]*was not sent in time/);
});

test('no more than 100 headers are looked at', async () => {
  const headers = Array.from({ length: 300 }, (_, i) => `h${i}: x\r\n`).join('');
  const heard = speak(await listening({}), `GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`);
  await waitFor(() => heard.ended, { what: 'the answer' });
  expect(heard.text).toMatch(/\r\n\r\n100 headers$/);
});

test('more connections than allowed are closed at once, and there is room again when one has gone', async () => {
  const port = await listening({ connectionsMax: 1 });
  const first = speak(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await waitFor(() => first.text.endsWith('headers'), { what: 'the first is answered' });
  const second = speak(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await waitFor(() => second.ended, { what: 'the second is closed' });
  expect([second.text, first.ended]).toEqual(['', false]);
  sockets[0]!.destroy();
  await waitFor(
    async () => {
      const next = speak(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      return waitFor(() => next.ended || next.text !== '').then(() => next.text !== '');
    },
    { what: 'another is answered' },
  );
});
