import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';

// The same with socket.io: a room for each channel. Messages stay text, which spares it a parse of each.
const [url, prefix] = process.argv.slice(2);
const redis = new Redis(url!);
const server = createServer();
const io = new Server(server, { serveClient: false, transports: ['websocket'] });
const opened = new Set<string>();
redis.on('message', (channel, text) => {
  io.to(channel).emit('candle', text);
});
io.on('connection', (socket) => {
  socket.on('subscribe', async (symbols: string[]) => {
    const channels = symbols.map((symbol) => `${prefix}:candles:1m:${symbol}`);
    const fresh = channels.filter((channel) => !opened.has(channel));
    for (const channel of fresh) opened.add(channel);
    if (fresh.length > 0) await redis.subscribe(...fresh);
    await socket.join(channels);
    socket.emit('subscribed');
  });
});
server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());
