import { CandlesResponse, type Interval, type WireCandle } from '@candlewire/contracts';

async function page(address: string): Promise<CandlesResponse> {
  const response = await fetch(address);
  if (response.status !== 200) throw new Error(`${address}: ${response.status} ${await response.text()}`);
  return CandlesResponse.parse(await response.json());
}

/** All pages of `query`, in the order in which they are answered. */
async function* pages(gateway: string, symbol: string, query: string): AsyncGenerator<WireCandle[]> {
  const address = `${gateway}/api/candles/${symbol}?${query}`;
  for (let cursor: string | null = ''; cursor !== null; ) {
    const answer: CandlesResponse = await page(
      cursor === '' ? address : `${address}&cursor=${encodeURIComponent(cursor)}`,
    );
    expect(answer.symbol).toBe(symbol);
    yield answer.candles;
    cursor = answer.next_cursor;
  }
}

/** The whole series over HTTP, from its oldest candle. */
export async function pagesForward(
  gateway: string,
  symbol: string,
  interval: Interval,
  limit: number,
): Promise<WireCandle[]> {
  const candles: WireCandle[] = [];
  for await (const some of pages(gateway, symbol, `interval=${interval}&limit=${limit}&start=2000-01-01`))
    candles.push(...some);
  return candles;
}

/** The whole series over HTTP, from its newest candle back; ascending. */
export async function pagesBack(
  gateway: string,
  symbol: string,
  interval: Interval,
  limit: number,
): Promise<WireCandle[]> {
  const candles: WireCandle[] = [];
  for await (const some of pages(gateway, symbol, `interval=${interval}&limit=${limit}`)) candles.unshift(...some);
  return candles;
}
