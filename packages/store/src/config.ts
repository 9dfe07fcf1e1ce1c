import { url } from '@candlewire/runtime';

/** The store's part of a service's environment. Unset: the caller brings a Postgres of its own. */
export const storeConfig = {
  DATABASE_URL: url('postgres:', 'postgresql:').optional(),
};
