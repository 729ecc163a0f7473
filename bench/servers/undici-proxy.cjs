/** A reverse proxy with undici to a server on a Unix socket: node undici-proxy.cjs <port> <socket path> <folder of undici>. */
const http = require('node:http');
const [port, socketPath, undiciFolder] = process.argv.slice(2);
const { Pool } = require(undiciFolder);
const CONNECTIONS = 32;
const upstream = new Pool('http://upstream', { connections: CONNECTIONS, socketPath });

http
  .createServer((request, response) => {
    const { method, url: path, headers } = request;
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
    const forwarded = { ...headers };
    delete forwarded.connection;
    upstream.stream(
      { method, path, headers: forwarded, body: hasBody ? request : null },
      ({ statusCode, headers: answer }) => {
        delete answer.connection;
        delete answer['keep-alive'];
        response.writeHead(statusCode, answer);
        return response;
      },
      (error) => error && response.destroy(error),
    );
  })
  .listen(Number(port), '127.0.0.1');
