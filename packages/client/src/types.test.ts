import type * as contracts from '@candlewire/contracts';
import type * as client from './types.ts';

type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T;
/** True where both are the same to the compiler, but for what may be written: clients write nothing. */
type Same<A, B> = (<T>() => T extends Frozen<A> ? 1 : 2) extends <T>() => T extends Frozen<B> ? 1 : 2 ? true : false;
type Flat<T> = { [K in keyof T]: T[K] };
/** What a schema of contracts gives. */
type Parsed<T extends { parse(value: unknown): unknown }> = ReturnType<T['parse']>;

// The compiler is the test: `npm run check` fails where one of them is not `true`.
const same: readonly true[] = [
  true satisfies Same<client.Candle, contracts.WireCandle>,
  true satisfies Same<client.Interval, contracts.Interval>,
  true satisfies Same<client.MarketStatus, contracts.MarketStatus>,
  true satisfies Same<client.PriceUpdate, contracts.PriceUpdate>,
  true satisfies Same<Flat<client.CandleEvent>, contracts.CandleMessage>,
  true satisfies Same<Flat<client.CandlesPage>, contracts.CandlesResponse>,
  true satisfies Same<client.SymbolRow, contracts.SymbolRow>,
  true satisfies Same<client.ReadyChecks, contracts.ReadyChecks>,
  true satisfies Same<client.Readiness, Parsed<typeof contracts.ReadyResponse>>,
  true satisfies Same<client.Status, Parsed<typeof contracts.ApiHealthResponse>>,
];

test("the client's types are those of the contracts", () => {
  expect(same.every(Boolean)).toBe(true);
});
