// What goes wrong in a call, as one typed error: the gRPC code, the service's reason and its metadata.

import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "./gen/genai_spine/v1/error_reason_pb.js";

/** Names of ErrorReason, such as "MODEL_NOT_FOUND". */
export type Reason = keyof typeof ErrorReason;

/**
 * Every error that a call throws, except when the caller aborts: that throws the signal's reason.
 *
 * When no server of this service answered, the reason is DEADLINE_EXCEEDED (timeoutMs passed),
 * SERVICE_UNAVAILABLE (not reached), or UNSPECIFIED (fetch does not say why it failed); `cause` has
 * what the transport said.
 */
export class SpineError extends Error {
  override readonly name = "SpineError";
  /** What went wrong, to branch on. */
  readonly reason: Reason;
  /** The gRPC code. Only Unavailable is safe to repeat at once: nothing was paid. */
  readonly code: Code;
  /** What the reason is about, such as `model`, `field`, `provider`, `provider_code`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Leads to the server's log line. Empty when no server answered. */
  readonly requestId: string;
  /** Milliseconds to wait before another attempt, where the provider said so. */
  readonly retryAfterMs: number | undefined;

  constructor(error: ConnectError) {
    super(error.rawMessage, { cause: error });
    const info = detail(error, "google.rpc.ErrorInfo", errorInfo);
    this.reason = info !== undefined && isReason(info.reason) ? info.reason : withoutAnswer(error.code);
    this.code = error.code;
    this.metadata = info?.metadata ?? {};
    this.requestId = error.metadata.get("x-request-id") ?? "";
    this.retryAfterMs = detail(error, "google.rpc.RetryInfo", retryDelayMs);
  }
}

/** What to throw for what a transport threw. */
export function thrown(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  return error instanceof ConnectError ? new SpineError(error) : error;
}

function isReason(name: string): name is Reason {
  return typeof ErrorReason[name as Reason] === "number";
}

function withoutAnswer(code: Code): Reason {
  if (code === Code.Unavailable) return "SERVICE_UNAVAILABLE";
  return code === Code.DeadlineExceeded ? "DEADLINE_EXCEEDED" : "UNSPECIFIED";
}

function detail<T>(error: ConnectError, type: string, read: (bytes: Uint8Array) => T): T | undefined {
  for (const found of error.details) {
    if ("type" in found && found.type === type) return read(found.value);
  }
  return undefined;
}

// Google's error details are not part of this service's protos, so the fields needed are read by hand.
// https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto (2026-11-21)

function errorInfo(bytes: Uint8Array): { reason: string; metadata: Record<string, string> } {
  const info = { reason: "", metadata: {} as Record<string, string> };
  fields(bytes, (field, reader) => {
    if (field === 1) info.reason = reader.string();
    else if (field === 3) {
      const entry = { key: "", value: "" };
      fields(reader.bytes(), (part, inner) => {
        if (part === 1) entry.key = inner.string();
        else if (part === 2) entry.value = inner.string();
        else return false;
        return true;
      });
      info.metadata[entry.key] = entry.value;
    } else return false;
    return true;
  });
  return info;
}

function retryDelayMs(bytes: Uint8Array): number {
  let ms = 0;
  fields(bytes, (field, reader) => {
    if (field !== 1) return false;
    fields(reader.bytes(), (part, duration) => {
      if (part === 1) ms += Number(duration.int64()) * 1000;
      else if (part === 2) ms += duration.int32() / 1e6;
      else return false;
      return true;
    });
    return true;
  });
  return ms;
}

/** Calls read for each field of a message; what it does not read (false) is skipped. */
function fields(bytes: Uint8Array, read: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!read(field, reader)) reader.skip(wireType, field);
  }
}
