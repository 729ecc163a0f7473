/** `berth revisions`, `activate`, `rollback`, `source` */
import { revisionIdSchema } from '../../contracts/ids.ts';
import type { FunctionClient } from '../../client/function-client.ts';
import type { RevisionRecord } from '../../client/records.ts';
import { type Register, addCommand } from '../command.ts';
import { UsageError } from '../exit-code.ts';
import type { Session } from '../session.ts';
import { sizeOf, when } from '../views.ts';

export const registerRevisions: Register = (parent, program) => {
  addCommand(
    parent,
    program,
    { usage: 'revisions <fn>', says: 'list revisions, newest first' },
    async (session, [name]) => {
      const revisions = await (await session.tenant()).function(name!).revisions();
      session.output.result(revisions, table(session, revisions));
    },
  );
  addCommand(
    parent,
    program,
    { usage: 'activate <fn> <revision>', says: 'make a revision the one that answers; by id or number' },
    async (session, [name, which]) => {
      const fn = (await session.tenant()).function(name!);
      const changed = await fn.activate(await idOf(fn, which!));
      session.output.result(changed, `${name} is now at ${changed.activeRevision}.`);
    },
  );
  addCommand(
    parent,
    program,
    { usage: 'rollback <fn>', says: 'activate the revision before the active one' },
    async (session, [name]) => {
      const changed = await (await session.tenant()).function(name!).rollback();
      session.output.result(changed, `${name} is back at ${changed.activeRevision}.`);
    },
  );
  addCommand<{ revision?: string }>(
    parent,
    program,
    {
      usage: 'source <fn>',
      says: 'print the code as it was deployed',
      options: (command) =>
        command.option('-r, --revision <revision>', 'id or number; left out: the active one'),
    },
    async (session, [name], { revision }) => {
      const fn = (await session.tenant()).function(name!);
      const source = await fn.source(revision === undefined ? await activeOf(fn) : await idOf(fn, revision));
      if (session.output.isJson) session.output.result({ source }, '');
      else session.output.raw(Buffer.from(source));
    },
  );
};

async function idOf(fn: FunctionClient, which: string): Promise<string> {
  if (revisionIdSchema.safeParse(which).success) return which;
  const found = (await fn.revisions()).find(({ number }) => String(number) === which);
  if (found !== undefined) return found.id;
  throw new UsageError(
    `"${which}" is no revision of it.`,
    'Give an id or a number from "berth revisions <fn>".',
  );
}

async function activeOf(fn: FunctionClient): Promise<string> {
  const { activeRevision } = await fn.get();
  if (activeRevision !== null) return activeRevision;
  throw new UsageError('The function has no active revision.', 'Name one with --revision.');
}

function table({ output }: Session, revisions: readonly RevisionRecord[]): string {
  const rows = revisions.map(({ number, id, form, language, sourceBytes, createdAt, isActive }) => [
    isActive ? '*' : '',
    String(number),
    id,
    form,
    language,
    sizeOf(sourceBytes),
    when(createdAt),
  ]);
  return output.table(
    ['', 'number', 'revision', 'form', 'language', 'size', 'deployed'],
    rows,
    'There is no revision.',
  );
}
