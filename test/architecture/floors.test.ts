/** The rules of ARCHITECTURE.md, each failure a sentence. The table there is the list of folders. */
import { expect, it } from 'vitest';
import {
  type Import,
  folderOf,
  importsOf,
  read,
  targetOf,
  typeScriptFiles,
  withoutComments,
} from './source-files.ts';

/** Folders beside the floors, and what they may import. */
const BESIDE: Readonly<Record<string, readonly string[]>> = {
  runtime: ['contracts', 'kernel'],
  keeper: ['contracts'],
  client: ['contracts', 'kernel'],
  cli: ['client', 'config', 'contracts', 'images', 'kernel'],
};
const NO_IO = ['contracts', 'kernel'];
/** What is only arithmetic, text and types, though Node ships it. */
const PURE_MODULES = new Set([
  'node:buffer',
  'node:crypto',
  'node:path',
  'node:util',
  'node:events',
  'node:url',
]);
/** One helper of the kernel deletes trees (style, 12): its subject is the file system. */
const KERNEL_IO = new Set(['src/kernel/tree-removal.ts']);
/** What is only arithmetic in modules that do I/O otherwise. */
const PURE_PARTS: Readonly<Record<string, readonly string[]>> = {
  'node:net': ['BlockList', 'isIP'],
  'node:worker_threads': ['isMarkedAsUntransferable'],
};
const MAX_LINES = 400;
/** The process that may be root: all that it ever loads comes from these folders, and these packages. */
const PRIVILEGED = {
  entry: 'src/supervisor/main.ts',
  folders: ['supervisor', 'config', 'contracts', 'drivers', 'kernel', 'modules', 'store', 'telemetry'],
  /** Of folders that do more, only these files. */
  files: {
    modules: ['runtime-bundle.ts'],
    store: ['master-key.ts', 'store-open-error.ts', 'sqlite/sqlite-files.ts'],
    telemetry: ['logger.ts', 'pretty-line.ts'],
  } as Readonly<Record<string, readonly string[]>>,
  packages: ['esbuild', 'pino', 'zod'],
  /** Nobody speaks to it but its server, over a socket that it made. */
  /** But for the client of the Docker Engine, which is loaded only where that driver is chosen. */
  mayUseHttp: 'src/drivers/docker/engine-client.ts',
  neverUses: /\bnode:(?:https?|http2|tls|dgram|dns|vm|worker_threads)\b/,
} as const;

interface Source {
  readonly file: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const sources: readonly Source[] = typeScriptFiles('src').map((file) => {
  const text = read(file);
  return { file, text, imports: importsOf(text) };
});
/** Tests and their fakes may look anywhere below the faces; the rules are for what is shipped. */
const shipped = sources.filter(({ file }) => !file.endsWith('.test.ts') && !file.includes('/testing/'));
const floors = floorTable(read('ARCHITECTURE.md'));

function floorTable(page: string): ReadonlyMap<string, number | 'beside'> {
  const rows = [...page.matchAll(/^\|\s*(\d+|beside)\s*\|([^|]+)\|/gm)];
  return new Map(
    rows.flatMap(([, floor, folders]) =>
      [...folders!.matchAll(/`(\w+)`/g)].map(([, folder]): [string, number | 'beside'] => [
        folder!,
        floor === 'beside' ? 'beside' : Number(floor),
      ]),
    ),
  );
}

function mayImport(from: string, to: string): boolean {
  if (from === to) return true;
  const beside = BESIDE[from];
  if (beside !== undefined) return beside.includes(to);
  const [own, other] = [floors.get(from), floors.get(to)];
  return typeof own === 'number' && typeof other === 'number' && other < own;
}

it('ARCHITECTURE.md names every folder of src, and no other', () => {
  const folders = new Set(sources.map(({ file }) => folderOf(file)));
  const problems = [...folders]
    .filter((folder) => !floors.has(folder))
    .map(
      (folder) => `The folder src/${folder} has no floor; give it a line in the table of ARCHITECTURE.md.`,
    );
  expect(problems).toEqual([]);
  expect([...floors].filter(([, floor]) => floor === 'beside').map(([folder]) => folder)).toEqual(
    Object.keys(BESIDE),
  );
});

it('a folder imports only from lower floors', () => {
  const problems = shipped.flatMap(({ file, imports }) =>
    imports.flatMap((one) => {
      const target = targetOf(file, one);
      if (target === null) return [];
      if (!target.startsWith('src/')) return [`${file}:${one.line} imports ${target}, which is not in src.`];
      const [from, to] = [folderOf(file), folderOf(target)];
      if (mayImport(from, to)) return [];
      const why =
        BESIDE[from] === undefined
          ? 'which is not on a lower floor'
          : `which may only use ${BESIDE[from].join(', ')}`;
      return [`${file}:${one.line} imports ${target}: src/${from} may not import from src/${to}, ${why}.`];
    }),
  );
  expect(problems).toEqual([]);
});

it('the supervisor, which may be root, loads little: nothing that serves HTTP, opens the database or reads tenants’ code', () => {
  const byFile = new Map(sources.map((source) => [source.file, source]));
  const loaded = new Set<string>();
  const problems: string[] = [];
  const load = (file: string): void => {
    if (loaded.has(file)) return;
    loaded.add(file);
    const [folder, name] = [folderOf(file), file.split('/').slice(2).join('/')];
    const isAllowed =
      PRIVILEGED.folders.includes(folder as never) && (PRIVILEGED.files[folder]?.includes(name) ?? true);
    if (!isAllowed) problems.push(`${PRIVILEGED.entry} comes to load ${file}, which is no business of root.`);
    for (const one of byFile.get(file)!.imports.filter(({ isTypeOnly }) => !isTypeOnly)) {
      const target = targetOf(file, one);
      if (target !== null) load(target);
      else if (!isForSupervisor(one.specifier) && file !== PRIVILEGED.mayUseHttp)
        problems.push(`${file}:${one.line} imports ${one.specifier}, which the supervisor comes to load.`);
    }
  };
  load(PRIVILEGED.entry);
  expect(problems).toEqual([]);
  expect(loaded.size).toBeGreaterThan(30);
});

function isForSupervisor(specifier: string): boolean {
  if (specifier.startsWith('node:')) return !PRIVILEGED.neverUses.test(specifier);
  return PRIVILEGED.packages.includes(packageOf(specifier) as never);
}

it('nothing that is shipped imports a test or a fake', () => {
  const problems = shipped.flatMap(({ file, imports }) =>
    imports
      .map((one) => targetOf(file, one))
      .filter((target) => target !== null && /\.test\.ts$|\/testing\//.test(target))
      .map((target) => `${file} imports ${target}, which is only for tests.`),
  );
  expect(problems).toEqual([]);
});

it('there is no import cycle, types apart', () => {
  const graph = new Map(
    sources.map(({ file, imports }) => [
      file,
      imports.filter(({ isTypeOnly }) => !isTypeOnly).flatMap((one) => targetOf(file, one) ?? []),
    ]),
  );
  const finished = new Set<string>();
  const problems: string[] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    const start = trail.indexOf(file);
    if (start !== -1)
      problems.push(`These files import each other: ${[...trail.slice(start), file].join(' → ')}.`);
    if (start !== -1 || finished.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...trail, file]);
    finished.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  expect(problems).toEqual([]);
});

it('there are no barrels: no file that only hands on what others export', () => {
  const problems = shipped
    .filter(({ text }) => {
      const statements = withoutComments(text)
        .split(/;\s*$/m)
        .map((part) => part.trim())
        .filter(Boolean);
      return statements.length > 0 && statements.every((part) => /^export\b[\s\S]*\bfrom\s*['"]/.test(part));
    })
    .map(({ file }) => `${file} only re-exports; import from the files themselves.`);
  expect(problems).toEqual([]);
});

it('no file is longer than the limit', () => {
  const problems = [...sources.map(({ file }) => file), ...typeScriptFiles('test')].flatMap((file) => {
    const lines = read(file).split('\n').length - 1;
    return lines > MAX_LINES ? [`${file} has ${lines} lines; split it, ${MAX_LINES} are allowed.`] : [];
  });
  expect(problems).toEqual([]);
});

it('contracts and kernel do no I/O, and use no clock, chance or environment of their own', () => {
  const problems = shipped
    .filter(({ file }) => NO_IO.includes(folderOf(file)) && !KERNEL_IO.has(file))
    .flatMap(({ file, text, imports }) => [
      ...imports
        .filter(({ specifier }) => specifier.startsWith('node:') && !PURE_MODULES.has(specifier))
        .filter(({ specifier, line }) => !takesPureParts(text.split('\n')[line - 1] ?? '', specifier))
        .map(({ specifier, line }) => `${file}:${line} imports ${specifier}, which does I/O.`),
      ...[
        ...withoutComments(text).matchAll(
          /\b(?:process\.(?:env|cwd|stdout|stderr|argv)|Math\.random|fetch\()/g,
        ),
      ].map(([found]) => `${file} uses ${found}; take it as an argument.`),
    ]);
  expect(problems).toEqual([]);
});

function takesPureParts(statement: string, specifier: string): boolean {
  const names = /^import \{([^}]*)\} from/
    .exec(statement)?.[1]
    ?.split(',')
    .map((name) => name.trim());
  return names?.every((name) => PURE_PARTS[specifier]?.includes(name)) === true;
}

it('the runtime uses nothing but Node, contracts and kernel', () => {
  const allowed = /^(?:node:|\.)/;
  const problems = shipped
    .filter(({ file }) => folderOf(file) === 'runtime')
    .flatMap(({ file, imports }) =>
      imports
        .filter(({ specifier }) => !allowed.test(specifier))
        .map(
          ({ specifier, line }) =>
            `${file}:${line} imports the package ${specifier}; the runtime has no dependencies.`,
        ),
    );
  expect(problems).toEqual([]);
});

it('every package that is imported is a dependency of package.json', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
  const problems = shipped.flatMap(({ file, imports }) =>
    imports
      .filter(({ specifier }) => !/^(?:node:|\.)/.test(specifier))
      .filter(({ specifier }) => !Object.hasOwn(dependencies, packageOf(specifier)))
      .map(
        ({ specifier, line }) => `${file}:${line} imports ${specifier}, which "dependencies" does not name.`,
      ),
  );
  expect(problems).toEqual([]);
});

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

it('the scanner of these tests sees every form of import, and none in strings and comments', () => {
  const source = [
    "import a from './a.ts';",
    "import type { B } from './b.ts';",
    "import './c.ts';",
    "import {\n  d,\n  type E,\n} from './d.ts';",
    "export { e } from './e.ts';",
    "export * from './f.ts';",
    "export type { G } from './g.ts';",
    "const h = await import('./h.ts');",
    "// import x from './no1.ts';",
    "/* import x from './no2.ts'; */",
    "const text = `\nimport x from './no3.ts';\n`;",
    "const url = 'http://x'; import i from './i.ts';",
  ].join('\n');
  const imports = importsOf(source);
  expect(imports.map(({ specifier }) => specifier)).toEqual(
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].map((name) => `./${name}.ts`),
  );
  expect(imports.filter(({ isTypeOnly }) => isTypeOnly).map(({ specifier }) => specifier)).toEqual([
    './b.ts',
    './g.ts',
  ]);
});
