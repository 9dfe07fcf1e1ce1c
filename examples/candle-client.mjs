// Follows the candles of one symbol through the client (docs/client.md): the newest ones, then every change, whatever becomes of
// the connection.   node examples/candle-client.mjs AAPL 5m 20
// API_URL: the gateway, by default that of `npm start`. API_KEY: where it asks for one. Built by `npm run build`, or any start.
import { CandlewireClient } from '@candlewire/client';

const [symbol = 'AAPL', interval = '5m', history = '20'] = process.argv.slice(2);
const { API_URL = 'http://127.0.0.1:8000', API_KEY } = process.env;

const client = new CandlewireClient(API_URL, { apiKey: API_KEY });
process.once('SIGINT', () => client.close());

const candles = client.candles(symbol, interval, {
  history: Number(history),
  onReset: () => console.error('the series begins anew'),
});
try {
  for await (const { timestamp, open, high, low, close, volume, RSI, final, revision } of candles) {
    console.log(timestamp, JSON.stringify({ open, high, low, close, volume, RSI, final, revision }));
  }
} catch (err) {
  console.error(err.message);
  process.exitCode = 1;
} finally {
  client.close();
}
