/** Gives back what it gets, over a Unix socket: node echo.cjs <socket path>. */
require('node:net')
  .createServer((socket) => socket.on('data', (bytes) => socket.write(bytes)))
  .listen(process.argv[2]);
