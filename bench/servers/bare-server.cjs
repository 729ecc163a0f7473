/** Bare `node:http`: node bare-server.cjs <port or socket path> <file of the handler>. */
const http = require('node:http');
const [address, handlerFile] = process.argv.slice(2);
http
  .createServer(require(handlerFile))
  .listen(/^\d+$/.test(address) ? { port: Number(address), host: '127.0.0.1' } : address);
