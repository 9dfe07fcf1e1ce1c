import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { waitFor } from '@candlewire/testkit';
import { Pulse } from './pulse';

const EVERY_MS = 20;

test('a process that stood still hears its peers before it judges them', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[socket]] = await Promise.all([once(server, 'connection'), once(peer, 'connect')]);
  const happened: string[] = [];
  socket.on('data', () => happened.push('heard'));
  const pulse = new Pulse(EVERY_MS);
  const one = { beat: () => happened.push('judged') };
  pulse.add(one);
  await waitFor(() => happened.length > 0);

  // In one go, so that neither has had its turn: it was said, and then the time for a beat has come.
  happened.length = 0;
  peer.write('here');
  for (const until = performance.now() + 2 * EVERY_MS; performance.now() < until; );
  await waitFor(() => happened.includes('judged'));
  expect(happened.slice(0, 2)).toEqual(['heard', 'judged']);

  pulse.delete(one);
  socket.destroy();
  peer.destroy();
  server.close();
});
