// Certificates for tests: an authority, and what it signs, made anew each time. Node can
// sign but not write a certificate, so its few fields are put together here (RFC 5280).
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

const der = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const n = body.length;
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const utf8 = (s: string): Buffer => der(0x0c, Buffer.from(s));
const time = (d: Date): Buffer =>
  der(0x18, Buffer.from(d.toISOString().replace(/[-:T]|\.\d+/g, "")));

const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
const commonName = (name: string): Buffer =>
  sequence(der(0x31, sequence(oid("550403"), utf8(name))));
const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  sequence(oid(id), ...(critical ? [der(0x01, Buffer.from([255]))] : []), der(0x04, value));

/** A certificate and its key, in PEM. */
export interface Certificate {
  readonly name: string;
  readonly cert: string;
  readonly key: string;
}

/** Makes a certificate: of an authority if nobody signs it, else for 127.0.0.1 and localhost. */
export function makeCertificate(name: string, signer?: Certificate): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key: KeyObject = signer ? createPrivateKey(signer.key) : privateKey;
  const day = 24 * 60 * 60 * 1000;
  const basic = signer ? sequence() : sequence(der(0x01, Buffer.from([255])));
  const names = sequence(
    der(0x87, Buffer.from([127, 0, 0, 1])),
    der(0x82, Buffer.from("localhost")),
  );
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.from([1 + Math.floor(Math.random() * 100)])),
    ecdsaWithSha256,
    commonName(signer?.name ?? name),
    sequence(time(new Date(Date.now() - day)), time(new Date(Date.now() + day))),
    commonName(name),
    publicKey.export({ type: "spki", format: "der" }),
    der(
      0xa3,
      sequence(
        extension("551d13", true, basic),
        ...(signer ? [extension("551d11", false, names)] : []),
      ),
    ),
  );
  const signature = der(0x03, Buffer.from([0]), sign("sha256", body, key));
  const base64 = sequence(body, ecdsaWithSha256, signature).toString("base64");
  const lines = base64.match(/.{1,64}/g)!.join("\n");
  return {
    name,
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}
