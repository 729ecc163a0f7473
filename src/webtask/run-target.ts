/** Which webtask a URL means: `/api/run/{container}[/{name}[/…]][?query]`. */
import { decode } from './names.ts';

export const RUN_PREFIX = '/api/run/';

export interface RunTarget {
  readonly container: string;
  /** null: the container itself */
  readonly name: string | null;
  /** without `?`; '' when there is none */
  readonly query: string;
}

/** null: not an address of the run API. Called for each request, so it looks at the text only once. */
export function parseRunTarget(url: string): RunTarget | null {
  if (!url.startsWith(RUN_PREFIX)) return null;
  const mark = url.indexOf('?');
  const pathEnd = mark === -1 ? url.length : mark;
  const query = mark === -1 ? '' : url.slice(mark + 1);
  const slash = url.indexOf('/', RUN_PREFIX.length);
  const containerEnd = slash === -1 || slash > pathEnd ? pathEnd : slash;
  const container = decode(url.slice(RUN_PREFIX.length, containerEnd));
  if (containerEnd + 1 >= pathEnd) return { container, name: null, query };
  const next = url.indexOf('/', containerEnd + 1);
  const nameEnd = next === -1 || next > pathEnd ? pathEnd : next;
  return { container, name: decode(url.slice(containerEnd + 1, nameEnd)), query };
}

/** One value of a query; null when it is not there. */
export function queryValue(query: string, name: string): string | null {
  return query.includes(name) ? new URLSearchParams(query).get(name) : null;
}

/** The URL without the query's `key`: code must not see the token of who may do more than it. */
export function withoutKey(url: string): string {
  const mark = url.indexOf('?');
  if (mark === -1) return url;
  const kept = url
    .slice(mark + 1)
    .split('&')
    .filter((pair) => new URLSearchParams(pair).get('key') === null);
  return kept.length === 0 ? url.slice(0, mark) : `${url.slice(0, mark)}?${kept.join('&')}`;
}
