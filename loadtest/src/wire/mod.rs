//! The bytes of HTTP, WebSocket and Socket.IO, as far as a client that generates load needs them.
//!
//! Frames are built once and sent many times; what comes in is recognised by its first bytes.

pub mod http;
pub mod socketio;
pub mod websocket;
