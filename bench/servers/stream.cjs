/** Takes a body of any size and says how long it was, or gives `?bytes=` bytes; with back-pressure both ways. */
const CHUNK = Buffer.alloc(64 * 1024, 'x');

module.exports = (request, response) => {
  if (request.method === 'POST') return take(request, response);
  let left = Number(/bytes=(\d+)/.exec(request.url)?.[1] ?? 0);
  response.setHeader('content-length', left);
  const give = () => {
    while (left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      if (!response.write(chunk)) return response.once('drain', give);
    }
    return response.end();
  };
  give();
};

function take(request, response) {
  let bytes = 0;
  request.on('data', (chunk) => (bytes += chunk.length));
  request.on('end', () => response.end(String(bytes)));
}
