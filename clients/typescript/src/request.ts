// What a caller writes, turned into the contract's messages.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CreateCompletionRequestSchema,
  CreateEmbeddingsRequestSchema,
} from "./gen/genai_spine/v1/completion_service_pb.js";
import { type ContentPartSchema, type MessageSchema, Role } from "./gen/genai_spine/v1/message_pb.js";

const ROLES = {
  system: Role.SYSTEM,
  developer: Role.DEVELOPER,
  user: Role.USER,
  assistant: Role.ASSISTANT,
  tool: Role.TOOL,
} as const;

type Init<T, Without extends string> = Omit<T, Without | "$typeName" | "$unknown">;
type ContentPartInit = MessageInitShape<typeof ContentPartSchema>;
type MessageInit = MessageInitShape<typeof MessageSchema>;

/** One turn: its role by name, its content as text or as parts; the rest as in the contract. */
export type MessageInput = Init<MessageInit, "role" | "content"> & {
  role: keyof typeof ROLES | Role;
  content?: string | ContentPartInit[];
};

/** CreateCompletionRequest, with messages as a text (one turn of the user) or as turns. */
export type CompletionInput = Init<MessageInitShape<typeof CreateCompletionRequestSchema>, "messages"> & {
  messages?: string | MessageInput[];
};

/** CreateEmbeddingsRequest, with the texts in place of `inputs`. */
export type EmbeddingsInput = Init<MessageInitShape<typeof CreateEmbeddingsRequestSchema>, "inputs"> & {
  input: string | string[];
};

/** Options of one call. */
export interface CallOptions {
  /** Aborting ends the call here and at the provider. */
  signal?: AbortSignal;
  /** Milliseconds for the whole call. Default: that of `connect`, else no limit. */
  timeoutMs?: number;
  /** Id for logs and the ledger, at most 128 of A-Z a-z 0-9 . _ : / + = @ -. Default: the server makes one. */
  requestId?: string;
  /** Further headers. */
  headers?: Record<string, string>;
}

export function completionRequest(input: CompletionInput): MessageInitShape<typeof CreateCompletionRequestSchema> {
  const { messages = [], ...rest } = input;
  const turns: MessageInput[] = typeof messages === "string" ? [{ role: "user", content: messages }] : messages;
  return { ...rest, messages: turns.map(message) };
}

export function embeddingsRequest(input: EmbeddingsInput): MessageInitShape<typeof CreateEmbeddingsRequestSchema> {
  const { input: given, ...rest } = input;
  const texts = typeof given === "string" ? [given] : given;
  return { ...rest, inputs: texts.map((text) => ({ input: { case: "text", value: text } })) };
}

function message({ role, content = [], ...rest }: MessageInput): MessageInit {
  const parts = typeof content === "string" ? [textPart(content)] : content;
  return { ...rest, role: typeof role === "string" ? ROLES[role] : role, content: parts };
}

/** A piece of text in a message with several parts. */
export function textPart(text: string): ContentPartInit {
  return { part: { case: "text", value: text } };
}

/** An image in a message: an https URL, or a data: URL. */
export function imagePart(url: string): ContentPartInit {
  return { part: { case: "image", value: { source: { case: "url", value: url } } } };
}
