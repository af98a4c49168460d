// Entry point for Node: gRPC over HTTP/2.

import type { SecureClientSessionOptions } from "node:http2";
import { env } from "node:process";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type ConnectOptions, Spine } from "./spine.js";

export * from "./api.js";

/** tls: of an https baseUrl: `ca` to trust, and the client's `cert` and `key`, each in PEM. */
export interface NodeConnectOptions extends ConnectOptions {
  tls?: Pick<SecureClientSessionOptions, "ca" | "cert" | "key">;
}

/** A client of the service at baseUrl, such as http://127.0.0.1:8100 (h2c) or https://spine.example. */
export function connect(baseUrl: string, { tls, ...options }: NodeConnectOptions = {}): Spine {
  const transport = createGrpcTransport(tls ? { baseUrl, nodeOptions: tls } : { baseUrl });
  return new Spine(transport, { apiKey: env["GENAI_API_KEY"], ...options });
}
