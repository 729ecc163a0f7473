/**
 * While the server drains, connections end with their present response (RFC 9112, 9.6): also those whose request came before.
 * Node closes only what is idle at that moment; what is kept alive after it would hold up who waits for the server's end.
 */
import {
  type IncomingMessage,
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  ServerResponse,
} from 'node:http';

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/** The class of responses of a server. @param isDraining no further request is wanted, asked when a head is written */
export function lastResponses(isDraining: () => boolean): typeof ServerResponse {
  return class<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
    override writeHead(status: number, reasonOrHeaders?: string | Headers, headers?: Headers): this {
      if (isDraining()) this.shouldKeepAlive = false;
      if (typeof reasonOrHeaders === 'string') return super.writeHead(status, reasonOrHeaders, headers);
      return super.writeHead(status, reasonOrHeaders);
    }
  };
}
