/** All look-ups of `node:dns`, with callbacks and promises, of the default resolver and of others: asked of the broker. */
import type { EgressAnswer, LookupType } from '../../contracts/frames.ts';
import { lookupError } from './egress-error.ts';
import type { EgressPort } from './egress-port.ts';
import { type NameRequest, resolving } from './internals.ts';
import { isLocalHost, isLocalName, writtenName } from './target-names.ts';

const queries: Readonly<Record<string, LookupType>> = {
  getHostByAddr: 'reverse',
  queryA: 'A',
  queryAaaa: 'AAAA',
  queryAny: 'ANY',
  queryCaa: 'CAA',
  queryCname: 'CNAME',
  queryMx: 'MX',
  queryNaptr: 'NAPTR',
  queryNs: 'NS',
  queryPtr: 'PTR',
  querySoa: 'SOA',
  querySrv: 'SRV',
  queryTlsa: 'TLSA',
  queryTxt: 'TXT',
};
const OK = 0;
const NOT_FOUND: EgressAnswer = { ok: false, code: 'ENOTFOUND', reason: 'it is no host name' };
const CANCELLED: EgressAnswer = { ok: false, code: 'ECANCELLED', reason: 'its resolver was told to cancel' };

type Ask = (question: Question) => void;
type Settle = (answer: EgressAnswer) => void;

export function installLookups(port: EgressPort): void {
  const ask: Ask = (question) => {
    const { name, type, family = 0, onAnswer } = question;
    const written = writtenName(name);
    if (written === null) setImmediate(() => onAnswer(NOT_FOUND));
    else port.ask({ name: written, type, family }, onAnswer);
  };
  installAddressLookup(ask);
  installServiceLookup(ask);
  installQueries(ask);
}

/** Of the default resolver and of those that code makes itself. */
function installQueries(ask: Ask): void {
  const { prototype } = resolving.ChannelWrap;
  const pending = new WeakMap<object, Set<Settle>>();
  for (const [method, type] of Object.entries(queries)) {
    prototype[method] = function (request, name) {
      const own = pending.get(this) ?? new Set();
      pending.set(this, own);
      const settleOnce: Settle = (answer) => {
        if (own.delete(settleOnce)) settle(request, answer, { syscall: method, name });
      };
      own.add(settleOnce);
      ask({ name, type, onAnswer: (answer) => settleOnce(withBytes(answer)) });
      return OK;
    };
  }
  prototype.cancel = function () {
    for (const settleOnce of pending.get(this) ?? []) setImmediate(settleOnce, CANCELLED);
  };
}

interface Question {
  readonly name: string;
  readonly type: LookupType;
  readonly family?: 0 | 4 | 6;
  readonly onAnswer: (answer: EgressAnswer) => void;
}

function installAddressLookup(ask: Ask): void {
  // oxlint-disable-next-line max-params -- Node's own signature
  resolving.getaddrinfo = (request, name, family, _hints, order) => {
    if (isLocalName(name)) {
      process.nextTick(() => request.oncomplete(null, [family === 6 ? '::1' : '127.0.0.1']));
      return OK;
    }
    ask({
      name,
      type: 'address',
      family: family === 4 || family === 6 ? family : 0,
      onAnswer: (answer) => settle(request, inOrder(answer, order), { syscall: 'getaddrinfo', name }),
    });
    return OK;
  };
}

/** The service is told by its number: as on any machine without /etc/services, which a sandbox is. */
function installServiceLookup(ask: Ask): void {
  resolving.getnameinfo = (request, address, port) => {
    if (isLocalHost(address)) {
      process.nextTick(() => request.oncomplete(null, 'localhost', String(port)));
      return OK;
    }
    const onAnswer = (answer: EgressAnswer): void => {
      if (answer.ok) return request.oncomplete(null, (answer.result as readonly string[])[0], String(port));
      settle(request, asNameInfo(answer), { syscall: 'getnameinfo', name: address });
    };
    ask({ name: address, type: 'reverse', onAnswer });
    return OK;
  };
}

/** getnameinfo(3) knows no answer without data. */
function asNameInfo(answer: EgressAnswer): EgressAnswer {
  return !answer.ok && answer.code === 'ENODATA' ? { ...answer, code: 'ENOTFOUND' } : answer;
}

function withBytes(answer: EgressAnswer): EgressAnswer {
  if (!answer.ok || !Array.isArray(answer.result)) return answer;
  const result = answer.result.map((record: unknown) => {
    if (!isAssociation(record)) return record;
    return { ...record, data: new Uint8Array(Buffer.from(record.data, 'base64')).buffer };
  });
  return { ...answer, result };
}

/** A TLSA record. */
function isAssociation(record: unknown): record is { readonly data: string } {
  return typeof record === 'object' && record !== null && 'certUsage' in record;
}

function settle(
  request: NameRequest,
  answer: EgressAnswer,
  { syscall, name }: { readonly syscall: string; readonly name: string },
): void {
  if (answer.ok) return request.oncomplete(null, answer.result, answer.ttls);
  const error = lookupError(answer, syscall, name);
  if (request.reject !== undefined) request.reject(error);
  else request.callback?.(error);
}

function inOrder(answer: EgressAnswer, order: unknown): EgressAnswer {
  const isFirst4 = order === resolving.DNS_ORDER_IPV4_FIRST;
  if (!answer.ok || (!isFirst4 && order !== resolving.DNS_ORDER_IPV6_FIRST)) return answer;
  const addresses = answer.result as readonly string[];
  const of6 = addresses.filter((address) => address.includes(':'));
  const of4 = addresses.filter((address) => !address.includes(':'));
  return { ok: true, result: isFirst4 ? [...of4, ...of6] : [...of6, ...of4] };
}
