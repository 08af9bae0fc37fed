"""A sigstore service on loopback: a certificate authority, its transparency log, and a log of signatures.

It signs for whoever asks and remembers nothing, but every certificate, proof and signature is a real one, so the real
client takes it for a service once it is told to trust its keys.

Source:
    RFC 6962 (certificate transparency), github.com/sigstore/fulcio and github.com/sigstore/rekor (their HTTP APIs).
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

ISSUER = "https://identity.example"
OID_ISSUER, OID_SCT = ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
FROM = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
P256 = "PKIX_ECDSA_P256_SHA_256"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def usage(**on: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


class FakeSigstore:
    """The service's keys and what it answers."""

    def __init__(self) -> None:
        self.ca, self.ct, self.log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "fake"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "fake")]
        )
        self.authority = (
            self._builder(name, name, self.ca.public_key(), FROM + datetime.timedelta(days=36500))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.ca.public_key()), critical=False)
            .sign(self.ca, SHA256())
        )
        self.url = ""

    @staticmethod
    def _builder(subject: x509.Name, issuer: x509.Name, key: Any, until: datetime.datetime) -> x509.CertificateBuilder:
        start = FROM if subject == issuer else datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(until)
        )

    def certificate(self, csr: x509.CertificateSigningRequest, claims: dict[str, Any]) -> x509.Certificate:
        """Who holds this key, for ten minutes, with a promise that the certificate is in the log of certificates."""
        issuer = claims["iss"].encode()
        builder = (
            self._builder(x509.Name([]), self.authority.subject, csr.public_key(),
                          datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=10))
            .add_extension(usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(claims["sub"])]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key()), critical=False)
            .add_extension(x509.UnrecognizedExtension(OID_ISSUER, issuer), critical=False)
        )  # fmt: skip
        promise = self._promise(builder.sign(self.ca, SHA256()).tbs_certificate_bytes)
        return builder.add_extension(x509.UnrecognizedExtension(OID_SCT, promise), critical=False).sign(
            self.ca, SHA256()
        )

    def _promise(self, tbs: bytes) -> bytes:
        """A signed certificate timestamp, in the list that a certificate holds. RFC 6962, 3.2 and 3.3."""
        now = int(time.time() * 1000)
        issuer = hashlib.sha256(spki(self.ca)).digest()
        signed = struct.pack("!BBQH", 0, 0, now, 1) + issuer + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
        signature = self.ct.sign(signed, ec.ECDSA(SHA256()))
        one = b"\0" + hashlib.sha256(spki(self.ct)).digest() + struct.pack("!Q", now) + b"\0\0\x04\x03"
        one += struct.pack("!H", len(signature)) + signature
        listed = struct.pack("!HH", len(one) + 2, len(one)) + one
        return (b"\x04" if len(listed) < 128 else b"\x04\x81") + bytes([len(listed)]) + listed  # an OCTET STRING

    def entry(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """An envelope's entry, alone in a log, with its proof and the time."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        body = rfc8785.dumps(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": self._hash(content["envelope"].encode()),
                    "payloadHash": self._hash(base64.b64decode(envelope["payload"])),
                    "signatures": [
                        {"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]}
                    ],
                },
            }
        )
        now, keyid = int(time.time()), hashlib.sha256(spki(self.log)).digest()
        root = hashlib.sha256(b"\0" + body).digest()
        told = rfc8785.dumps({"body": b64(body), "integratedTime": now, "logID": keyid.hex(), "logIndex": 0})
        note = f"fake\n1\n{b64(root)}\n"
        checkpoint = f"{note}\n\N{EM DASH} fake {b64(keyid[:4] + self._logged(note.encode()))}\n"
        proof = {"logIndex": 0, "rootHash": root.hex(), "treeSize": 1, "hashes": [], "checkpoint": checkpoint}
        verification = {"inclusionProof": proof, "signedEntryTimestamp": b64(self._logged(told))}
        entry = {"body": b64(body), "integratedTime": now, "logID": keyid.hex(), "logIndex": 0}
        return {hashlib.sha256(body).hexdigest(): {**entry, "verification": verification}}

    @staticmethod
    def _hash(data: bytes) -> dict[str, str]:
        return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}

    def _logged(self, data: bytes) -> bytes:
        return self.log.sign(data, ec.ECDSA(SHA256()))

    def config(self, path: Path) -> Path:
        """Write what a client needs to know of it."""
        start = {"start": FROM.isoformat().replace("+00:00", "Z")}

        def instance(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": b64(spki(key)), "keyDetails": P256, "validFor": start},
                "logId": {"keyId": b64(hashlib.sha256(spki(key)).digest())},
            }

        authority = {
            "subject": {"organization": "fake", "commonName": "fake"},
            "uri": self.url,
            "certChain": {"certificates": [{"rawBytes": b64(self.authority.public_bytes(Encoding.DER))}]},
            "validFor": start,
        }
        service = [{"url": self.url, "majorApiVersion": 1, "validFor": start, "operator": "fake"}]
        config = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [instance(self.log)],
                "certificateAuthorities": [authority],
                "ctlogs": [instance(self.ct)],
                "timestampAuthorities": [],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": service,
                "rekorTlogUrls": service,
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaConfig": {"selector": "ANY"},
            },
        }
        path.write_text(json.dumps(config))
        return path


def token(identity: str, issuer: str = ISSUER) -> str:
    """What an identity provider would hand out; only the service looks at who signed it, and this one doesn't."""
    now = int(time.time())
    claims = {"iss": issuer, "sub": identity, "aud": "sigstore", "iat": now, "nbf": now - 60, "exp": now + 600}
    return jwt.encode(claims, "nobody checks this signature, so it may be anything", algorithm="HS256")


@contextlib.contextmanager
def serving() -> Iterator[FakeSigstore]:
    """The service, on a port of its own, until the block ends."""
    fake = FakeSigstore()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/signingCert"):
                bearer = self.headers["Authorization"].removeprefix("Bearer ")
                claims = jwt.decode(bearer, options={"verify_signature": False})
                csr = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
                chain = [
                    cert.public_bytes(Encoding.PEM).decode() for cert in (fake.certificate(csr, claims), fake.authority)
                ]
                answer: dict[str, Any] = {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}
            else:
                answer = fake.entry(asked)
            content = json.dumps(answer).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
