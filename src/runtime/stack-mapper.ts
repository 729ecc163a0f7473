/** Stack traces of code that was transpiled or bundled: by its source map back to the tenant's own files and lines. */
import module from 'node:module';
import path from 'node:path';
import { CODE_DIR } from './evaluate.ts';

interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** @param sourceMap JSON, version 3; read when the first stack is asked for */
export function installStackMapper(filename: string, sourceMap: Uint8Array): void {
  const json = Buffer.from(sourceMap);
  const scriptName = `${CODE_DIR}/${filename}`;
  const names = new Set([scriptName, `file://${scriptName}`]);
  let map: module.SourceMap | null = null;
  const locate = (site: NodeJS.CallSite): Position | null => {
    if (!names.has(site.getFileName() ?? '')) return null;
    map ??= new module.SourceMap(JSON.parse(json.toString('utf8')) as module.SourceMapPayload);
    return originOf(map, site);
  };
  Error.prepareStackTrace = (error, sites) => formatStack(error, sites, locate);
}

function originOf(map: module.SourceMap, site: NodeJS.CallSite): Position | null {
  const entry = map.findEntry((site.getLineNumber() ?? 1) - 1, (site.getColumnNumber() ?? 1) - 1);
  if (!('originalSource' in entry)) return null;
  // A path that climbs out of its folder is shown from the top of the code: `../lib/a.ts` is `/fn/lib/a.ts`.
  const file = path.posix.join(CODE_DIR, path.posix.join('/', entry.originalSource));
  return { file, line: entry.originalLine + 1, column: entry.originalColumn + 1 };
}

function formatStack(
  error: Error,
  sites: readonly NodeJS.CallSite[],
  locate: (site: NodeJS.CallSite) => Position | null,
): string {
  let text: string;
  try {
    text = String(error);
  } catch {
    text = 'Error';
  }
  for (const site of sites) text += `\n    at ${formatSite(site, locate)}`;
  return text;
}

function formatSite(site: NodeJS.CallSite, locate: (site: NodeJS.CallSite) => Position | null): string {
  const shown = String(site);
  const origin = locate(site);
  if (origin === null) return shown;
  const place = `${origin.file}:${origin.line}:${origin.column}`;
  const generated = `${site.getFileName()}:${site.getLineNumber()}:${site.getColumnNumber()}`;
  return shown.includes(generated) ? shown.replace(generated, () => place) : shown;
}
