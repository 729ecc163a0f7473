/**
 * Our program in the container of a service: it starts the service when the platform says so and hands connections
 * through. It speaks HTTP/2 (RFC 9113) as the server of the one connection that it makes to the platform: `POST /start`
 * answers with what the service writes for as long as it lives, `CONNECT` (RFC 9113, 8.5) leads to its port. The
 * container has no network: this is the only way to the service. When the platform is gone, the service ends.
 *
 *   keeper <socket | -> <port> -- <command…>
 */
import { keepService } from './keep-service.ts';
import { platformConnection } from './platform-connection.ts';

const [place = '', port = '', , ...command] = process.argv.slice(2);
keepService({ connection: platformConnection(place), port: Number(port), command });
