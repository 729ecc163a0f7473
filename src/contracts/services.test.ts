import { describe, expect, it } from 'vitest';
import {
  builtInKinds,
  fillPlaces,
  serviceKindsSchema,
  serviceSecretNames,
  serviceSecrets,
} from './services.ts';

const facts = { password: 'p-w', host: 'cache.service.berth.internal', port: 6379, memoryBytes: 1_000 };

describe('the kinds of services', () => {
  it('are the built-in ones when the operator says nothing, and stay them under another image', () => {
    expect(serviceKindsSchema.parse({})).toEqual(builtInKinds);
    const kinds = serviceKindsSchema.parse({ redis: { image: 'mirror.example/redis:7.4' } });
    expect(kinds['redis']).toEqual({ ...builtInKinds['redis'], image: 'mirror.example/redis:7.4' });
    expect(kinds['postgres']).toEqual(builtInKinds['postgres']);
  });

  it('can be others, which say all', () => {
    const nats = { image: 'nats:2', port: 4222, dataPath: '/data', url: 'nats://{password}@{host}:{port}' };
    expect(serviceKindsSchema.parse({ nats })['nats']).toEqual({
      ...nats,
      env: {},
      input: '',
      stopSignal: 'SIGTERM',
    });
  });

  it.each([
    ['a field that is missing', { nats: { image: 'nats:2' } }],
    ['a field that is none', { redis: { privileged: true } }],
    ['a folder that leads elsewhere', { redis: { dataPath: '/data/../etc' } }],
    ['the root as a folder', { redis: { dataPath: '/' } }],
    ['an image that is a flag', { redis: { image: '--privileged' } }],
    ['a kind with a slash', { 'a/b': builtInKinds['redis'] }],
    ['a variable with a strange name', { redis: { env: { 'A=B': 'x' } } }],
    ['a signal that is none', { redis: { stopSignal: 'SIGKILL' } }],
  ])('refuse %s', (_what, given) => {
    expect(serviceKindsSchema.safeParse(given).success).toBe(false);
  });
});

it('open places are filled, each as often as it stands there, and nothing else is touched', () => {
  expect(fillPlaces('{password}@{host}:{port} {password} {halfMemoryBytes} {other} {}', facts)).toBe(
    'p-w@cache.service.berth.internal:6379 p-w 500 {other} {}',
  );
});

it('what a password holds is not filled again', () => {
  expect(fillPlaces('{password}', { ...facts, password: '{host}$&' })).toBe('{host}$&');
});

it('functions find a service under its own name', () => {
  const secrets = serviceSecrets('my-cache', builtInKinds['redis']!, facts);
  expect(secrets).toEqual({
    MY_CACHE_URL: 'redis://:p-w@cache.service.berth.internal:6379',
    MY_CACHE_HOST: 'cache.service.berth.internal',
    MY_CACHE_PORT: '6379',
    MY_CACHE_PASSWORD: 'p-w',
  });
  expect(Object.keys(secrets)).toEqual(serviceSecretNames('my-cache'));
});
