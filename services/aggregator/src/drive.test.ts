import type { Answer, Need } from '@candlewire/candles';
import { drive } from './drive';

const need = (before: number): Need => ({ kind: 'past', symbol: 'AAPL', interval: '1m', before });
const past = (close: number): Answer => ({ closes: [close], avgGain: 0, avgLoss: 0, avgRange: 0 });

function* asks(...rounds: number[][]): Generator<Need[], unknown[], Answer[]> {
  const heard: unknown[] = [];
  for (const round of rounds) heard.push(yield round.map(need));
  return heard;
}

test('each generator gets the answers to its own needs, and a round of all of them is answered at once', async () => {
  const rounds: number[][] = [];
  const results = await drive([asks([1, 2], [3]), asks(), asks([4])], async (needs) => {
    const times = needs.map((one) => (one as { before: number }).before);
    rounds.push(times);
    return times.map(past);
  });
  expect(results).toEqual([[[past(1), past(2)], [past(3)]], [], [[past(4)]]]);
  expect(rounds).toEqual([[1, 2, 4], [3]]);
});

test('a failed answer ends the drive', async () => {
  await expect(drive([asks([1])], () => Promise.reject(new Error('away')))).rejects.toThrow('away');
});
