/**
 * Code of a tenant who has read the runtime, found the channel's descriptor in /proc/self/fd, and speaks frames of their own
 * (`src/contracts/frames.ts`). The first invocation of a fresh sandbox is stream 1.
 */
const weapons = `
const fs = require('fs');
const channel = fs.readdirSync('/proc/self/fd').map(Number).find((fd) => {
  try { return fd > 2 && fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:'); } catch { return false; }
});
const say = (bytes) => { for (let at = 0; at < bytes.length; ) { try { at += fs.writeSync(channel, bytes, at); } catch (e) { if (e.code !== 'EAGAIN') throw e; } } };
const frame = (type, flags, stream, payload = Buffer.alloc(0), length = payload.length) => {
  const header = Buffer.alloc(10);
  header.writeUInt32LE(length >>> 0, 0); header[4] = type; header[5] = flags; header.writeUInt32LE(stream >>> 0, 6);
  return Buffer.concat([header, payload]);
};
const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16LE(n); return b; };
const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32LE(n >>> 0); return b; };
const head = (status, headers, body = '') => Buffer.concat([u16(status), u16(headers.length),
  ...headers.flatMap((text) => [u32(text.length), Buffer.from(text, 'latin1')]), Buffer.from(body, 'latin1')]);
const [Hello, Response, Data, Window, Done, Failed, Pong, Log, Fatal] = [1, 5, 6, 7, 9, 10, 12, 13, 15];
const End = 1, Both = 3;
`;

/** A function that does the deed on its first call, and then says nothing of its own. */
export function channelAttack(deed: string): string {
  return `${weapons}\nmodule.exports = (ctx, cb) => { ${deed} };`;
}

/** A function that answers with this head and body in one frame, whatever they are. */
export function answersWith(status: number, headers: readonly string[], body = ''): string {
  return channelAttack(
    `say(frame(Response, Both, 1, head(${status}, ${JSON.stringify(headers)}, ${JSON.stringify(body)})));`,
  );
}
