import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { volumeIdSchema } from '../../contracts/ids.ts';
import { EngineClient } from './engine-client.ts';
import { EngineVolumes } from './engine-volumes.ts';
import { ServiceVolumes } from './service-volumes.ts';

const volume = volumeIdSchema.parse(`v${'0'.repeat(20)}`);
const Name = `berth-here-${volume}`;
/** What `GET /volumes` of Docker 20.10 answers after its restart; to `POST /volumes/create` it answers without labels then. */
let listed: object[] = [];
let folder: string;
let server: http.Server;
let engine: EngineClient;
let volumes: ServiceVolumes;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'berth-engine-'));
  const path = join(folder, 'docker.sock');
  server = http.createServer((request, response) => {
    response.setHeader('api-version', '1.41');
    const answers: Record<string, object> = {
      'GET /volumes': { Volumes: listed },
      'POST /volumes/create': { Name, Labels: null },
      'POST /containers/create': { Id: '0'.repeat(64) },
    };
    const call = `${request.method} ${String(request.url).replace(/^\/v1.41|\?.*$/g, '')}`;
    request.resume().once('end', () => response.end(JSON.stringify(answers[call] ?? {})));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  engine = new EngineClient(`unix://${path}`);
  volumes = new ServiceVolumes({
    volumes: new EngineVolumes(engine),
    instance: 'here',
    image: 'any',
    uids: { first: 470_000, count: 2 },
    uidBase: 0,
    ownUid: null,
    log: { info: () => undefined, warn: () => undefined },
  });
});
afterEach(() => {
  engine.close();
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

test('after a restart of the engine a volume has the user that it had', async () => {
  listed = [{ Name, Labels: { 'berth.uid': '470001' } }];
  expect(await volumes.data(volume)).toEqual({ name: Name, uid: 470_001 });
});

test('one whose user is not told is given to nobody', async () => {
  listed = [];
  await expect(volumes.data(volume)).rejects.toThrow(/does not tell whose/);
});
