//! The protocols of Sockeye, pure: Engine.IO, Socket.IO, WebSocket framing and the bus envelopes.
