import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { type WebSocket, WebSocketServer } from 'ws';

// The gateway that one writes first: channel to sockets, and a loop of ws.send. Redis and its prefix are the arguments.
const [url, prefix] = process.argv.slice(2);
const redis = new Redis(url!);
const listeners = new Map<string, Set<WebSocket>>();
redis.on('message', (channel, text) => {
  for (const ws of listeners.get(channel) ?? []) ws.send(text);
});
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
server.on('connection', (ws) => {
  ws.on('message', async (data: Buffer) => {
    const { symbols } = JSON.parse(data.toString()) as { symbols: string[] };
    const channels = symbols.map((symbol) => `${prefix}:candles:1m:${symbol}`);
    const fresh = channels.filter((channel) => !listeners.has(channel));
    for (const channel of fresh) listeners.set(channel, new Set());
    for (const channel of channels) listeners.get(channel)!.add(ws);
    if (fresh.length > 0) await redis.subscribe(...fresh);
    ws.on('close', () => {
      for (const channel of channels) listeners.get(channel)!.delete(ws);
    });
    ws.send('{"type":"subscribed"}');
  });
});
server.on('listening', () => process.send!((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());
