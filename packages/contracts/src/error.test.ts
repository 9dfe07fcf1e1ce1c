import { ApiError, HTTP_STATUS } from './error';

test('an error carries the status of its code', () => {
  for (const [code, status] of Object.entries(HTTP_STATUS)) {
    expect(new ApiError(code as keyof typeof HTTP_STATUS, 'x').status).toBe(status);
  }
  expect(HTTP_STATUS).toMatchObject({
    invalid_parameter: 400,
    unauthorized: 401,
    unknown_symbol: 404,
    unavailable: 503,
  });
});
