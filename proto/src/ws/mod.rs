//! The server's side of WebSocket framing (RFC 6455).
