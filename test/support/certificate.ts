/** A self-signed certificate, made anew for each run: no key lies about in the repository. DER by hand (X.690, RFC 5280). */
import { generateKeyPairSync, sign } from 'node:crypto';

export interface TestCertificate {
  readonly key: string;
  readonly cert: string;
}

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const CONTEXT_0 = 0xa0;
const CONTEXT_3 = 0xa3;
const DNS_NAME = 0x82;

const ecdsaWithSha256 = sequence(oid('06082a8648ce3d040302'));
const commonName = oid('0603550403');
const subjectAltName = oid('0603551d11');

/** @param names host names; the first is the subject */
export function makeCertificate(names: readonly [string, ...string[]]): TestCertificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(der(SET, sequence(commonName, der(UTF8_STRING, Buffer.from(names[0])))));
  const alternatives = sequence(...names.map((one) => der(DNS_NAME, Buffer.from(one))));
  const content = sequence(
    der(CONTEXT_0, der(INTEGER, Buffer.of(2))),
    der(INTEGER, Buffer.of(1)),
    ecdsaWithSha256,
    name,
    sequence(time('200101000000Z'), time('491231235959Z')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(CONTEXT_3, sequence(sequence(subjectAltName, der(OCTET_STRING, alternatives)))),
  );
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: wrap(sequence(content, ecdsaWithSha256, bits(sign('sha256', content, privateKey)))),
  };
}

function wrap(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const header =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...header]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(SEQUENCE, Buffer.concat(parts));
}

function oid(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}

function time(text: string): Buffer {
  return der(UTC_TIME, Buffer.from(text));
}

/** A whole number of bytes: none unused. */
function bits(content: Buffer): Buffer {
  return der(BIT_STRING, Buffer.concat([Buffer.of(0), content]));
}
