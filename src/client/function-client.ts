/** One function: deploy, settings, revisions, secrets. */
import { z } from 'zod';
import type { Form, ModuleKind } from '../contracts/forms.ts';
import type { Access } from '../contracts/model.ts';
import { pages } from './pages.ts';
import {
  type DeployAnswer,
  type DeployedFunction,
  type RevisionRecord,
  deployedSchema,
  functionSchema,
  listSchema,
  revisionSchema,
} from './records.ts';
import type { Transport } from './transport.ts';

export interface DeployInput {
  readonly source: Uint8Array;
  readonly filename?: string;
  readonly entry?: string;
  readonly form?: Form;
  readonly moduleKind?: ModuleKind;
  /** `engines.node` of the package.json */
  readonly nodeRange?: string;
  readonly sourceMap?: string;
  readonly access?: Access;
  readonly env?: Readonly<Record<string, string>>;
  readonly meta?: Readonly<Record<string, string>>;
  /** Replaces all secrets; left out: they stay. */
  readonly secrets?: Readonly<Record<string, string>>;
}

export class FunctionClient {
  readonly #transport: Transport;
  readonly #path: readonly string[];

  constructor(transport: Transport, path: readonly string[]) {
    this.#transport = transport;
    this.#path = path;
  }

  static list(
    transport: Transport,
    path: readonly string[],
    pageSize: number,
  ): AsyncGenerator<DeployedFunction> {
    return pages(transport, functionSchema, { path, pageSize });
  }

  get(): Promise<DeployedFunction> {
    return this.#transport.json(functionSchema, { path: this.#path });
  }

  deploy({ source, ...settings }: DeployInput, signal?: AbortSignal): Promise<DeployAnswer> {
    const text = asText(source);
    return this.#transport.json(deployedSchema, {
      method: 'PUT',
      path: this.#path,
      body: {
        ...settings,
        ...(text === null ? { sourceBase64: Buffer.from(source).toString('base64') } : { source: text }),
      },
      signal,
    });
  }

  update(change: {
    readonly access?: Access;
    readonly env?: Readonly<Record<string, string>>;
    readonly meta?: Readonly<Record<string, string>>;
  }): Promise<DeployedFunction> {
    return this.#transport.json(functionSchema, { method: 'PATCH', path: this.#path, body: change });
  }

  delete(): Promise<void> {
    return this.#transport.done({ method: 'DELETE', path: this.#path });
  }

  /** newest first */
  async revisions(): Promise<readonly RevisionRecord[]> {
    return (await this.#transport.json(listSchema(revisionSchema), { path: [...this.#path, 'revisions'] }))
      .items;
  }

  revision(id: string): Promise<RevisionRecord> {
    return this.#transport.json(revisionSchema, { path: [...this.#path, 'revisions', id] });
  }

  /** As it was deployed. */
  source(id: string): Promise<string> {
    return this.#transport.text({ path: [...this.#path, 'revisions', id, 'source'] });
  }

  activate(id: string): Promise<DeployedFunction> {
    return this.#transport.json(functionSchema, {
      method: 'POST',
      path: [...this.#path, 'revisions', id, 'activate'],
    });
  }

  rollback(): Promise<DeployedFunction> {
    return this.#transport.json(functionSchema, { method: 'POST', path: [...this.#path, 'rollback'] });
  }

  async secretNames(): Promise<readonly string[]> {
    return (await this.#transport.json(listSchema(z.string()), { path: [...this.#path, 'secrets'] })).items;
  }

  setSecret(name: string, value: string): Promise<void> {
    return this.#transport.done({ method: 'PUT', path: [...this.#path, 'secrets', name], body: { value } });
  }

  deleteSecret(name: string): Promise<void> {
    return this.#transport.done({ method: 'DELETE', path: [...this.#path, 'secrets', name] });
  }
}

/** @returns null when the bytes are not UTF-8, and must go as base64 */
function asText(source: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(source);
  } catch {
    return null; // not text
  }
}
