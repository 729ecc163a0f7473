/** A request as the Fetch standard's `Request`; its body streams, its signal fires when the caller is gone. */
import type { Exchange } from '../exchange.ts';
import { webClasses } from '../web-classes.ts';
import { headerValue } from './header-names.ts';

/** What may stand in a URL as host and port; anything else becomes `localhost`. */
const HOST = /^[A-Za-z0-9.\-_~[\]:]+$/;

/** @throws TypeError for methods that `Request` refuses: CONNECT, TRACE, TRACK */
export function createFetchRequest(exchange: Exchange): Request {
  const { method, url, scheme, headers } = exchange.head;
  const host = headerValue(headers, 'host');
  const init: RequestInit = { method, headers: pairs(headers) };
  if (method !== 'GET' && method !== 'HEAD' && !exchange.body.isFinished)
    Object.assign(init, { body: bodyStream(exchange), duplex: 'half' });
  const { Request } = webClasses();
  const request = new Request(`${scheme}://${HOST.test(host) ? host : 'localhost'}${url}`, init);
  // A signal of its own for each request costs more than all the rest; most functions never look at it.
  Object.defineProperty(request, 'signal', {
    __proto__: null,
    get: () => exchange.signal,
    configurable: true,
    enumerable: true,
  } as PropertyDescriptor);
  return request;
}

function pairs(raw: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) list.push([raw[index]!, raw[index + 1]!]);
  return list;
}

/** One piece is taken for each pull; the copy keeps tenants away from the buffer that all invocations share. */
function bodyStream(exchange: Exchange): ReadableStream<Uint8Array> {
  const { body } = exchange;
  const pull = (controller: ReadableByteStreamController): Promise<void> | undefined => {
    const chunk = body.take();
    if (chunk !== null) {
      controller.enqueue(new Uint8Array(chunk));
      return undefined;
    }
    if (body.isFinished) {
      controller.close();
      controller.byobRequest?.respond(0);
      return undefined;
    }
    // As `signal` says it: who reads must not wait for ever.
    if (body.isBroken) throw exchange.signal.reason;
    return new Promise((resolve, reject) => {
      body.onReadable = () => {
        // Thrown from here it would count as an error that nobody caught, and end the process.
        try {
          resolve(pull(controller));
        } catch (error) {
          reject(error);
        }
      };
    });
  };
  const cancel = (): void => {
    body.onReadable = null;
  };
  const { ReadableStream } = webClasses();
  return new ReadableStream({ type: 'bytes', pull, cancel }, { highWaterMark: 0 });
}
