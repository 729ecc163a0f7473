/** One request and its response between Node's HTTP server and a sandbox. No promise and no closure on the warm path. */
import { BerthError, toBerthError } from '../contracts/errors.ts';
import type { RequestHead, ResponseHead } from '../contracts/frames.ts';
import type { Invocation, InvocationEvents, Lease } from '../sandboxes/sandboxes.ts';
import { Exchange } from './exchange.ts';
import { tooLarge } from './exchange-errors.ts';
import { declaredBodyBytes, forwardRequest } from './request-head.ts';
import { type CheckedHead, checkResponseHead, lengthMismatch, lengthToSay } from './response-head.ts';
import { Upload, type UploadOwner } from './upload.ts';
import { type BodyOwner, writeOut } from './write-out.ts';

const NOTHING = Buffer.alloc(0);
const TEXT_BYTES = 8 * 1024;
/** A request that comes back more often goes in circles. */
const MAX_HOPS = 8;

export class HttpExchange extends Exchange implements InvocationEvents, UploadOwner, BodyOwner {
  #head: RequestHead | null = null;
  #bodyBytes = 0;
  /** of the Content-Length that the function declared; -1: it did not */
  #left = -1;
  #isBodyless = false;
  #hops = 0;

  start(): void {
    const { context, request, response, runnable } = this;
    if (response.destroyed || request.socket.destroyed) return;
    context.hooks.onStart?.(this);
    context.inFlight += 1;
    const limits = runnable.limits();
    const gate = context.admission.gateOf(runnable.tenant);
    const refusal = context.admission.enter(gate, limits, this.startedAt);
    if (refusal !== null) return this.refuse(refusal, gate.takeRefusals(this.startedAt));
    this.gate = gate;
    const error = this.#prepare(limits.requestHeaderBytes, limits.requestBodyBytes);
    if (error !== null) return this.refuse(error, 1);
    this.watchClient();
    context.wheel.schedule(this, limits.wallMs);
    const lease = context.sandboxes.tryAcquire(runnable);
    if (lease === null) this.#wait();
    else this.#run(lease);
  }

  // --- before the sandbox

  #prepare(maxHeaderBytes: number, maxBodyBytes: number): BerthError | null {
    const { request, options, context } = this;
    this.#hops = options.hops ?? this.#hopsOfConnection();
    if (this.#hops > MAX_HOPS) return new BerthError('LOOP_DETECTED', { hops: this.#hops });
    this.#bodyBytes = declaredBodyBytes(request);
    const { headers, headerBytes, remoteAddress, scheme } = forwardRequest(request, {
      invocation: this.invocation,
      traceParent: context.ids.nextTraceParent,
      trustProxy: context.trustProxy,
      isUpgrade: this.isUpgrade,
      headers: options.headers,
    });
    if (headerBytes > maxHeaderBytes)
      return new BerthError('HEADERS_TOO_LARGE', { name: 'requestHeaderBytes', limit: maxHeaderBytes });
    if (this.#bodyBytes > maxBodyBytes) return tooLarge(maxBodyBytes);
    this.#head = {
      method: request.method ?? 'GET',
      url: options.url,
      basePath: options.basePath,
      remoteAddress,
      scheme,
      invocation: this.invocation,
      headers,
    };
    return null;
  }

  /** Each request of a sandbox has a connection of its own, so that it is counted for the invocation which opened that. */
  #hopsOfConnection(): number {
    const hops = this.context.hopsOf(this.request.socket);
    if (hops > 0) this.response.shouldKeepAlive = false;
    return hops;
  }

  #wait(): void {
    this.isColdStart = true;
    this.abort = new AbortController();
    this.context.sandboxes.acquire(this.runnable, this.abort.signal).then(
      (lease) => {
        if (this.phase === 'waiting') this.#run(lease);
        else lease.release();
      },
      (error: unknown) => {
        if (this.phase === 'waiting') this.refuse(toBerthError(error), 1);
      },
    );
  }

  #run(lease: Lease): void {
    this.phase = 'running';
    this.touch();
    const isEnd = this.#bodyBytes === 0 && !this.isUpgrade;
    const request = {
      head: this.#head!,
      body: NOTHING,
      isEnd,
      isUpgrade: this.isUpgrade,
      hops: this.#hops,
    };
    try {
      this.handle = lease.invoke(request, this);
    } catch (error) {
      lease.release();
      return this.refuse(toBerthError(error), 1);
    }
    this.#head = null;
    if (!isEnd && !this.isUpgrade) this.#startUpload(this.handle);
  }

  #startUpload(invocation: Invocation): void {
    if (this.options.sendContinue === true) this.response.writeContinue();
    this.upload = new Upload({
      source: this.request,
      invocation,
      owner: this,
      declaredBytes: this.#bodyBytes,
      maxBytes: this.runnable.limits().requestBodyBytes,
    });
    this.upload.start();
  }

  // --- what the sandbox says

  onResponse(head: ResponseHead, body: Buffer, isEnd: boolean): void {
    if (this.phase !== 'running') return;
    const maxBytes = this.runnable.limits().responseHeaderBytes;
    const rules = { method: this.request.method ?? 'GET', maxBytes, isUpgrade: this.isUpgrade };
    const checked = checkResponseHead(head, rules);
    if (typeof checked === 'string') return this.rejectResponse(checked);
    if (checked.status === 101) return this.switched(checked, body, isEnd);
    const mismatch = lengthMismatch(checked, body.length, isEnd);
    if (mismatch !== null) return this.rejectResponse(mismatch);
    this.beginResponse(checked, body, isEnd);
  }

  protected beginResponse(checked: CheckedHead, body: Buffer, isEnd: boolean): void {
    const { headers, isBodyless, contentLength } = checked;
    this.begun(checked.status);
    this.#isBodyless = isBodyless;
    if (!isBodyless && contentLength >= 0) this.#left = contentLength - body.length;
    const length = lengthToSay(checked, body.length, isEnd);
    if (length !== null) headers.push('content-length', length);
    headers.push('x-berth-invocation', this.invocation);
    this.response.writeHead(checked.status, headers);
    if (isEnd || isBodyless) {
      this.phase = 'responded';
      this.responseBytes = isBodyless ? 0 : body.length;
      if (!isEnd) this.handle?.consumed(body.length);
      this.#end(this.responseBytes === 0 ? NOTHING : body);
    } else if (body.length > 0) this.#pass(body);
    else this.response.flushHeaders();
  }

  /** The function has switched protocols. */
  protected switched(_head: CheckedHead, _body: Buffer, _isEnd: boolean): void {
    this.rejectResponse('101 answers no request but an upgrade');
  }

  onData(chunk: Buffer, isEnd: boolean): void {
    if (this.phase === 'responded' && this.#isBodyless) return this.handle?.consumed(chunk.length);
    if (this.phase !== 'responding') return;
    this.touch();
    if (this.#left >= 0) {
      if (chunk.length > this.#left) return this.rejectResponse('it sent more bytes than its Content-Length');
      this.#left -= chunk.length;
      if (isEnd && this.#left > 0) return this.rejectResponse('it sent fewer bytes than its Content-Length');
    }
    if (!isEnd) return this.#pass(chunk);
    this.phase = 'responded';
    this.responseBytes += chunk.length;
    this.#end(chunk);
  }

  /** Node writes text in one piece with the head, and bytes apart from it, which costs a third of a small response. */
  #end(last: Buffer): void {
    if (last.length === 0) this.response.end();
    else if (last.length > TEXT_BYTES) this.response.end(last);
    else this.response.end(last.toString('latin1'), 'latin1');
  }

  #pass(chunk: Buffer): void {
    this.responseBytes += chunk.length;
    if (writeOut(this.response, chunk, this)) return;
    if (this.pace.hold(chunk.length, this.response.socket)) this.response.on('drain', () => this.drained());
  }

  taken(bytes: number): void {
    this.handle?.consumed(bytes);
  }

  protected drained(): void {
    this.touch();
    const bytes = this.pace.release();
    if (bytes > 0) this.handle?.consumed(bytes);
  }

  onWritable(): void {
    this.touch();
    this.upload?.resume();
  }

  onDone(): void {
    if (this.phase === 'running' || this.phase === 'responding')
      return this.onFailed(
        new BerthError('FUNCTION_FAILED', { reason: 'it ended without a whole response' }),
      );
    this.finish();
  }

  onFailed(error: BerthError): void {
    if (this.phase === 'over') return;
    if (this.phase === 'responded') this.tell(error, 1);
    else if (this.phase !== 'cancelled') this.answer(error, 1);
    this.finish();
  }

  /** What the function sends is no HTTP: it is stopped, and the caller hears so, or is cut off. */
  protected rejectResponse(reason: string): void {
    this.cancel('client-gone');
    this.answer(new BerthError('RESPONSE_INVALID', { reason }), 1);
  }

  // --- what the caller does

  onUploadProgress(isSubstantial: boolean): void {
    // A function that answers already wants the stream, however slow; one that waits must not be held by a trickle.
    if (isSubstantial || this.phase !== 'running') this.touch();
  }

  onUploadTooLarge(): void {
    const hasResponded = this.phase === 'responded';
    this.cancel('client-gone');
    const error = tooLarge(this.runnable.limits().requestBodyBytes);
    if (!hasResponded) return this.answer(error, 1);
    this.tell(error, 1);
    this.request.socket.destroy();
  }
}
