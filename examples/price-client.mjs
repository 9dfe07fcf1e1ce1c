// Shows the latest prices through the client (docs/client.md).   node examples/price-client.mjs AAPL MSFT
// Without symbols: of all that there are. API_URL, API_KEY as in candle-client.mjs.
import { CandlewireClient } from '@candlewire/client';

const named = process.argv.slice(2);
const { API_URL = 'http://127.0.0.1:8000', API_KEY } = process.env;

const client = new CandlewireClient(API_URL, { apiKey: API_KEY });

const subscription = client.followPrices(named.length > 0 ? named : '*', {
  price({ symbol, price, change_percent, timestamp }) {
    const percent = change_percent === null ? '' : ` ${change_percent.toFixed(2)}%`;
    console.log(`${timestamp} ${symbol} ${price}${percent}`);
  },
  state({ name, retryInMs, error }) {
    if (name === 'waiting') console.error(`${error?.message}: again in ${Math.round(retryInMs)} ms`);
  },
  error(error) {
    console.error(error.message);
    process.exitCode = 1;
    client.close();
  },
});

process.once('SIGINT', () => {
  subscription.close();
  client.close();
});
