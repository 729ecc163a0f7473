import { expect, test } from 'vitest';
import { UnusableEngine, uidBaseOf, uidRangesOf } from './docker-ground.ts';

const plain = ['name=apparmor', 'name=seccomp,profile=default'];

test('an engine that maps users says from where in the name of its folder; another one maps none', () => {
  expect(uidBaseOf({ SecurityOptions: plain, DockerRootDir: '/var/lib/docker' })).toBe(0);
  expect(uidBaseOf({ SecurityOptions: plain, DockerRootDir: '/srv/100.100' })).toBe(0);
  const mapping = [...plain, 'name=userns'];
  expect(uidBaseOf({ SecurityOptions: mapping, DockerRootDir: '/var/lib/docker/231072.231072' })).toBe(
    231_072,
  );
});

test.each(['/var/lib/docker', '/var/lib/docker/100000.200000'])('%s does not tell it', (DockerRootDir) => {
  expect(() => uidBaseOf({ SecurityOptions: ['name=userns'], DockerRootDir })).toThrow(UnusableEngine);
});

test.each([0, 231_072])('counted from %i, no service has the user of a sandbox', (base) => {
  const { sandboxes, services } = uidRangesOf(base);
  expect(services.first).toBeGreaterThanOrEqual(sandboxes.first + sandboxes.count);
});

test('an engine that maps 65536 users has all of them, and nobody (65534) is none', () => {
  const { sandboxes, services } = uidRangesOf(231_072);
  expect(sandboxes.first).toBeGreaterThan(231_072);
  expect(services.first + services.count).toBeLessThanOrEqual(231_072 + 65_534);
});
