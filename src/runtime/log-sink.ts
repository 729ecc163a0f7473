/** Turns what tenants' code prints into Log frames: which invocation, how long, how much a second. */
import { FrameType, LogLevel, type LogLevelName } from '../contracts/frames.ts';
import { LogAllowance } from '../kernel/log-allowance.ts';
import { withoutOwnFrames } from './failure-text.ts';

const REPORT_DROPPED_AFTER_MS = 500;
const DROPPED_PAYLOAD_BYTES = 8;
const MORE = ' …';
const MAX_UINT32 = 0xffff_ffff;

export interface LogSinkOptions {
  readonly send: (type: FrameType, flags: number, stream: number, payload: Uint8Array) => void;
  /** The invocation on whose behalf the code runs at this moment; 0 for none. */
  readonly currentStream: () => number;
  /** milliseconds, monotonic */
  readonly now: () => number;
}

export class LogSink {
  readonly #options: LogSinkOptions;
  readonly #rate: LogAllowance;
  #lineBytes = 8 * 1024;
  #isReportDue = false;

  constructor(options: LogSinkOptions) {
    this.#options = options;
    // A flood stops here already, and is dropped no longer than it lasts.
    this.#rate = new LogAllowance({ bytesPerSecond: 256 * 1024, now: options.now, debtSeconds: 0 });
  }

  setLimits(limits: { readonly logLineBytes: number; readonly logBytesPerSecond: number }): void {
    this.#lineBytes = limits.logLineBytes;
    this.#rate.setRate(limits.logBytesPerSecond);
    this.#rate.fill();
  }

  get lineBytes(): number {
    return this.#lineBytes;
  }

  get currentStream(): number {
    return this.#options.currentStream();
  }

  /** One record; longer text is cut. Never throws. */
  log(level: LogLevelName, text: string, stream = this.currentStream): void {
    const payload = this.#encode(level, text);
    if (this.#rate.admit(payload.length)) this.#options.send(FrameType.Log, 0, stream, payload);
    else if (!this.#isReportDue) {
      this.#isReportDue = true;
      setTimeout(() => this.reportDropped(), REPORT_DROPPED_AFTER_MS).unref();
    }
  }

  /** Says how much was dropped since the last time. */
  reportDropped(): void {
    this.#isReportDue = false;
    const dropped = this.#rate.takeDropped();
    if (dropped === null) return;
    const payload = Buffer.allocUnsafe(DROPPED_PAYLOAD_BYTES);
    payload.writeUInt32LE(Math.min(dropped.lines, MAX_UINT32), 0);
    payload.writeUInt32LE(Math.min(dropped.bytes, MAX_UINT32), 4);
    this.#options.send(FrameType.LogDropped, 0, 0, payload);
  }

  #encode(level: LogLevelName, text: string): Buffer {
    const isCut = text.length > this.#lineBytes;
    const shown = withoutOwnFrames(isCut ? text.slice(0, this.#lineBytes) + MORE : text);
    const bytes = Buffer.from(`\0${shown}`, 'utf8');
    bytes[0] = LogLevel[level];
    const longest = this.#lineBytes + 1;
    return bytes.length > longest ? bytes.subarray(0, wholeUtf8(bytes, longest)) : bytes;
  }
}

/** The largest length up to `end` at which no character is cut in two. */
function wholeUtf8(bytes: Buffer, end: number): number {
  let at = end;
  while (at > 1 && (bytes[at]! & 0xc0) === 0x80) at--;
  return at;
}
