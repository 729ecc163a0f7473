/** Reads server-sent events (HTML standard, 9.2) from a response, with a limit on what is held of one event. */

export interface ServerEvent {
  /** `message` when the stream names none */
  readonly event: string;
  readonly data: string;
}

const MAX_EVENT_CHARACTERS = 1024 * 1024;

/** Ends with the body. @throws RangeError when one event is longer than a mebibyte */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let event = '';
  let data: string[] = [];
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    if (rest.length + data.join('').length > MAX_EVENT_CHARACTERS)
      throw new RangeError('an event is too long');
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) yield { event: event || 'message', data: data.join('\n') };
        event = '';
        data = [];
        continue;
      }
      const [, field, value = ''] = /^([^:]*)(?::\s?(.*))?$/s.exec(line) ?? [];
      if (field === 'data') data.push(value);
      else if (field === 'event') event = value;
    }
  }
}
