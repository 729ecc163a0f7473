/** Paths in a source map: of the user's folder, never of the machine that made the bundle. */
import { basename, posix } from 'node:path';

interface SourceMap {
  readonly sources: readonly string[];
}

/** What lies outside of the folder keeps its path from `node_modules` on, or only its name. */
export function sanitizeSources(json: string, folder: string): string {
  const map = JSON.parse(json) as SourceMap;
  return JSON.stringify({ ...map, sources: map.sources.map((source) => inside(source, folder)) });
}

function inside(source: string, folder: string): string {
  const path = posix.normalize(source.startsWith(`${folder}/`) ? source.slice(folder.length + 1) : source);
  if (!path.startsWith('../') && !path.startsWith('/')) return path;
  const packages = path.indexOf('/node_modules/');
  return packages === -1 ? basename(path) : path.slice(packages + 1);
}
