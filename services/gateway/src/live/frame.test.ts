import { bytesOfFrames, FRAME_BYTES_MAX, frameOf, payloadOf, restOfMessage } from './frame';

const ONE = FRAME_BYTES_MAX - 4;
const filled = (length: number, byte: number) => Buffer.alloc(length, byte);

test.each([0, 1, 125, 126, ONE, ONE + 1, 2 * ONE, 2 * ONE + 125, 2 * ONE + 126, 350_000])(
  'a payload of %i bytes comes back out of its frames',
  (length) => {
    const payload = Buffer.from(Array.from({ length }, (_, i) => i % 251));
    expect(payloadOf(frameOf(payload)).equals(payload)).toBe(true);
    expect(payloadOf(frameOf('é'.repeat(length))).toString()).toBe('é'.repeat(length));
  },
);

test('one frame is a text message as a whole; a longer one begins, goes on, and ends', () => {
  expect(frameOf('hi')).toEqual(Buffer.of(0x81, 2, 0x68, 0x69));
  expect(frameOf(filled(126, 7)).subarray(0, 5)).toEqual(Buffer.of(0x81, 126, 0, 126, 7));
  expect(frameOf(filled(ONE, 7))).toHaveLength(FRAME_BYTES_MAX);
  const cut = frameOf(filled(2 * ONE + 3, 7));
  const header = Buffer.of(126, ONE >> 8, ONE & 0xff);
  expect(cut.subarray(0, 4)).toEqual(Buffer.of(0x01, ...header));
  expect(cut.subarray(FRAME_BYTES_MAX, FRAME_BYTES_MAX + 4)).toEqual(Buffer.of(0x00, ...header));
  expect(cut.subarray(2 * FRAME_BYTES_MAX)).toEqual(Buffer.of(0x80, 3, 7, 7, 7));
});

test('frames are taken as long as they fit', () => {
  const frames = Buffer.concat([frameOf('a'), frameOf(filled(200, 1)), frameOf('b')]);
  expect([0, 2, 3, 206, 207, 209, 210, 999].map((max) => bytesOfFrames(frames, max))).toEqual([
    0, 0, 3, 3, 207, 207, 210, 210,
  ]);
});

test('the rest of a message ends with it', () => {
  const [message, next] = [frameOf(filled(3 * ONE, 1)), frameOf('next')];
  const frames = Buffer.concat([message, next]);
  expect(restOfMessage(frames)).toHaveLength(0);
  expect(restOfMessage(frames.subarray(FRAME_BYTES_MAX)).equals(message.subarray(FRAME_BYTES_MAX))).toBe(true);
  expect(restOfMessage(next)).toHaveLength(0);
});
