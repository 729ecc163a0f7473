/** All look-ups of `node:dns`, with callbacks and promises, of the default resolver and of others: asked of the broker. */
import type { EgressAnswer, LookupType } from '../../contracts/frames.ts';
import { lookupError } from './egress-error.ts';
import type { EgressPort } from './egress-port.ts';
import { type NameRequest, resolving } from './internals.ts';
import { isLocalName, writtenName } from './target-names.ts';

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
  queryTxt: 'TXT',
};
const OK = 0;
const NOT_FOUND: EgressAnswer = { ok: false, code: 'ENOTFOUND', reason: 'it is no host name' };

export function installLookups(port: EgressPort): void {
  const ask = (question: Question): void => {
    const { name, type, family = 0, onAnswer } = question;
    const written = writtenName(name);
    if (written === null) setImmediate(() => onAnswer(NOT_FOUND));
    else port.ask({ name: written, type, family }, onAnswer);
  };
  installAddressLookup(ask);
  for (const [method, type] of Object.entries(queries)) {
    resolving.ChannelWrap.prototype[method] = (request, name) => {
      ask({ name, type, onAnswer: (answer) => settle(request, answer, { syscall: method, name }) });
      return OK;
    };
  }
}

interface Question {
  readonly name: string;
  readonly type: LookupType;
  readonly family?: 0 | 4 | 6;
  readonly onAnswer: (answer: EgressAnswer) => void;
}

function installAddressLookup(ask: (question: Question) => void): void {
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
