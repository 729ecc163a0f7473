import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiWorld } from './api-world.ts';

let world: ApiWorld;
const hello = 'module.exports = (cb) => cb(null, "hello")';
const at = '/v1/tenants/acme/functions';

interface Deployed {
  readonly function: { readonly name: string; readonly access: string; readonly activeRevision: string };
  readonly revision: Record<string, unknown> & { readonly id: string; readonly number: number };
  readonly url: string;
  readonly form: string;
  readonly warnings: readonly string[];
}

beforeAll(async () => {
  world = await ApiWorld.open();
  for (const id of ['acme', 'globex']) await world.must('POST', '/v1/tenants', { id });
});
afterAll(() => world.close());

const deploy = (name: string, body: unknown): Promise<Deployed> => world.must('PUT', `${at}/${name}`, body);

describe('a deploy', () => {
  it('as JSON answers with function, revision, address and form', async () => {
    const deployed = await deploy('json', { source: hello, filename: 'hello.js', env: { A: '1' } });
    expect(deployed).toMatchObject({
      function: { name: 'json', tenant: 'acme', access: 'public', env: { A: '1' } },
      revision: { number: 1, form: 'webtask', isActive: true, function: 'json', filename: 'hello.js' },
      url: `${world.url}/run/acme/json`,
      form: 'webtask',
      warnings: [],
    });
    expect(deployed.revision.id).toMatch(/^r[0-9a-f]{24}$/);
    expect(deployed.function.activeRevision).toBe(deployed.revision.id);
  });

  it.each([
    'application/javascript',
    'text/plain;charset=UTF-8',
    'application/octet-stream',
    'application/x-www-form-urlencoded',
  ])('as the code itself works with content type %s', async (type) => {
    const answer = await world.send<Deployed>(
      'PUT',
      `${at}/raw?filename=raw.js&access=token`,
      Buffer.from(hello),
      {
        headers: { 'content-type': type },
      },
    );
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.function.access).toBe('token');
    const source = await world.send('GET', `${at}/raw/revisions/${answer.body.revision.id}/source`);
    expect(source.text).toBe(hello);
    expect(source.headers.get('content-type')).toContain('text/plain');
  });

  it('as the code itself is TypeScript where the content type says so', async () => {
    const { body } = await world.send<Deployed>('PUT', `${at}/typed`, Buffer.from(hello), {
      headers: { 'content-type': 'application/typescript' },
    });
    expect(body.revision).toMatchObject({ language: 'typescript', filename: 'index.ts' });
  });

  it('takes bytes in base64, a form by hand and a source map', async () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x00]);
    const { revision } = await deploy('bytes', {
      sourceBase64: bytes.toString('base64'),
      sourceMap: '{"version":3}',
      form: 'node',
    });
    expect(revision).toMatchObject({ form: 'node', isFormFixed: true, sourceBytes: 3 });
  });

  it('of a bundle shows the file that it was made from', async () => {
    const { revision } = await deploy('bundle', {
      source: hello,
      entry: 'main.ts',
      sourceMap: '{"version":3}',
    });
    expect(revision).toMatchObject({ language: 'typescript', filename: 'main.ts' });
  });

  it('warns when the form cannot be told', async () => {
    expect((await deploy('open', { source: 'no form' })).warnings).toHaveLength(1);
  });

  it('of the same content is one revision, of other content another', async () => {
    const first = await deploy('twice', { source: hello });
    const same = await deploy('twice', { source: hello });
    const other = await deploy('twice', { source: `${hello};` });
    expect(same.revision.id).toBe(first.revision.id);
    expect(other.revision.id).not.toBe(first.revision.id);
    expect(other.revision.number).toBe(2);
  });

  it('that does not compile says where, and changes nothing', async () => {
    const { function: before } = await deploy('broken', { source: hello });
    const answer = await world.send('PUT', `${at}/broken`, { source: 'syntax error', filename: 'b.js' });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: 'CODE_INVALID', file: 'b.js', line: 1, column: 3 });
    expect(await world.must('GET', `${at}/broken`)).toMatchObject({ activeRevision: before.activeRevision });
  });

  it('needs exactly one of source and sourceBase64', async () => {
    for (const body of [{}, { source: 'a', sourceBase64: 'YQ==' }, { sourceBase64: '%' }, []]) {
      expect((await world.send('PUT', `${at}/none`, body)).status).toBe(400);
    }
    expect((await world.send('GET', `${at}/none`)).status).toBe(404);
  });

  it('over codeBytes is refused by name, whether the length is announced or not', async () => {
    const big = Buffer.alloc(1024 * 1024 + 1, 'a');
    const announced = await world.send('PUT', `${at}/big`, big);
    expect(announced.status).toBe(413);
    expect(announced.body).toMatchObject({ code: 'CODE_TOO_LARGE', limit: 1024 * 1024, size: big.length });
    const asJson = await world.send('PUT', `${at}/big`, { source: big.toString() });
    expect(asJson.body).toMatchObject({ code: 'CODE_TOO_LARGE' });
    const streamed = await fetch(`${world.url}${at}/big`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${world.operator}` },
      body: new Blob([big]).stream(),
      duplex: 'half',
    } as RequestInit);
    expect(streamed.status).toBe(413);
    expect(await streamed.json()).toMatchObject({ code: 'BODY_TOO_LARGE', limit: 'codeBytes' });
  });

  it('at the same time as others leaves one whole revision, the last', async () => {
    const deploys = Array.from({ length: 40 }, (_, n) =>
      deploy('race', { source: `// ${n}`, env: { N: `${n}` } }),
    );
    const ids = (await Promise.all(deploys)).map(({ revision }) => revision.id);
    const fn = await world.must<Deployed['function'] & { env: { N: string } }>('GET', `${at}/race`);
    const winner = ids.indexOf(fn.activeRevision);
    expect(winner).toBeGreaterThanOrEqual(0);
    expect(fn.env).toEqual({ N: `${winner}` });
    const { text } = await world.send('GET', `${at}/race/revisions/${fn.activeRevision}/source`);
    expect(text).toBe(`// ${winner}`);
  });
});

describe('a function', () => {
  it('is listed by name in pages', async () => {
    for (const name of ['p1', 'p2', 'p3']) {
      await world.must('PUT', `/v1/tenants/globex/functions/${name}`, { source: hello });
    }
    interface List {
      items: { name: string }[];
      next: string | null;
    }
    const first = await world.must<List>('GET', '/v1/tenants/globex/functions?limit=2');
    expect(first).toMatchObject({ items: [{ name: 'p1' }, { name: 'p2' }], next: 'p2' });
    const rest = await world.must<List>('GET', `/v1/tenants/globex/functions?limit=2&after=${first.next}`);
    expect(rest).toMatchObject({ items: [{ name: 'p3' }], next: null });
  });

  it('changes access, env and meta, each as a whole', async () => {
    await deploy('changing', { source: hello, env: { A: '1' }, meta: { team: 'a' } });
    const changed = await world.must('PATCH', `${at}/changing`, { access: 'token', env: { B: '2' } });
    expect(changed).toMatchObject({ access: 'token', env: { B: '2' }, meta: { team: 'a' } });
    expect((await world.send('PATCH', `${at}/changing`, { webtask: null })).status).toBe(400);
  });

  it('is gone when it is deleted', async () => {
    await deploy('short', { source: hello });
    expect((await world.send('DELETE', `${at}/short`)).status).toBe(204);
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await world.send(method, `${at}/short`);
      expect([status, body['code']]).toEqual([404, 'NOT_FOUND']);
    }
  });

  it('goes back to an earlier revision by name or by one', async () => {
    const [first, second] = [await deploy('back', { source: '1' }), await deploy('back', { source: '2' })];
    expect(await world.must('POST', `${at}/back/rollback`)).toMatchObject({
      activeRevision: first.revision.id,
    });
    expect((await world.send('POST', `${at}/back/rollback`)).status).toBe(404);
    await world.must('POST', `${at}/back/revisions/${second.revision.id}/activate`);
    const { items } = await world.must<{ items: { id: string; isActive: boolean }[] }>(
      'GET',
      `${at}/back/revisions`,
    );
    expect(items.map(({ id, isActive }) => [id, isActive])).toEqual([
      [second.revision.id, true],
      [first.revision.id, false],
    ]);
    expect(await world.must('GET', `${at}/back/revisions/${first.revision.id}`)).toMatchObject({ number: 1 });
    const missing = `r${'0'.repeat(24)}`;
    expect((await world.send('POST', `${at}/back/revisions/${missing}/activate`)).status).toBe(404);
    expect((await world.send('GET', `${at}/back/revisions/${missing}/source`)).status).toBe(404);
  });
});

describe('a secret', () => {
  it('is set, named and deleted, and never shown', async () => {
    await deploy('keeper', { source: hello, secrets: { FIRST: 'first-value' } });
    await world.must('PUT', `${at}/keeper/secrets/SECOND`, { value: 'second-value' });
    const seen = [
      await world.send('GET', `${at}/keeper`),
      await world.send('GET', `${at}/keeper/secrets`),
      await world.send('GET', at),
    ];
    expect(seen.map(({ text }) => text).join()).not.toMatch(/first-value|second-value/);
    expect(seen[1]!.body).toEqual({ items: ['FIRST', 'SECOND'] });
    expect((await world.send('DELETE', `${at}/keeper/secrets/FIRST`)).status).toBe(204);
    expect((await world.send('DELETE', `${at}/keeper/secrets/FIRST`)).status).toBe(404);
    expect(await world.must('GET', `${at}/keeper/secrets`)).toEqual({ items: ['SECOND'] });
  });

  it('has limits in size and number, by name', async () => {
    await world.must('PATCH', '/v1/tenants/globex', { limits: { secrets: 1, secretBytes: 4 } });
    const path = '/v1/tenants/globex/functions/p1/secrets';
    expect((await world.send('PUT', `${path}/A`, { value: '12345' })).body).toMatchObject({
      code: 'SETTING_TOO_LARGE',
      name: 'secretBytes',
      limit: 4,
    });
    await world.must('PUT', `${path}/A`, { value: '1234' });
    expect((await world.send('PUT', `${path}/B`, { value: '1' })).body).toMatchObject({ name: 'secrets' });
    const many = { source: hello, secrets: { A: '1', B: '2' } };
    expect((await world.send('PUT', '/v1/tenants/globex/functions/p1', many)).body).toMatchObject({
      name: 'secrets',
    });
  });
});
