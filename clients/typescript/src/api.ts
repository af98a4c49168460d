// What every entry point exports: the client's own types, and the generated messages and services.

export * from "./answer.js";
export { type Reason, SpineError } from "./error.js";
export {
  type CallOptions,
  type CompletionInput,
  type EmbeddingsInput,
  type MessageInput,
  imagePart,
  textPart,
} from "./request.js";
export { type ConnectOptions, Spine } from "./spine.js";
export { Code, createClient } from "@connectrpc/connect";
export { create } from "@bufbuild/protobuf";
export * from "./gen/genai_spine/v1/completion_service_pb.js";
export * from "./gen/genai_spine/v1/document_service_pb.js";
export * from "./gen/genai_spine/v1/error_reason_pb.js";
export * from "./gen/genai_spine/v1/health_service_pb.js";
export * from "./gen/genai_spine/v1/message_pb.js";
export * from "./gen/genai_spine/v1/model_service_pb.js";
export * from "./gen/genai_spine/v1/openai_service_pb.js";
export * from "./gen/genai_spine/v1/routing_pb.js";
export * from "./gen/genai_spine/v1/stream_error_pb.js";
export * from "./gen/genai_spine/v1/usage_pb.js";
