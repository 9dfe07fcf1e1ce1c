import { DEFAULT_PREFIX } from '@candlewire/contracts';
import { url } from '@candlewire/runtime';
import { z } from 'zod';

const WORD = '[A-Za-z0-9_.-]+';

/** What a service that speaks to the bus reads. */
export const busConfig = {
  REDIS_URL: url('redis:', 'rediss:').optional(),
  /** Stands before every channel and key, with a colon between. */
  REDIS_PREFIX: z
    .string()
    .max(64, 'must have at most 64 characters')
    .regex(
      new RegExp(`^${WORD}(:${WORD})*$`),
      'must be words of letters, digits, dot, dash and underscore, with colons between them',
    )
    .default(DEFAULT_PREFIX),
};
