//! How much of everything one client may send.

/// Limits of the decoders. The defaults are those of the JavaScript server where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message: a WebSocket message, a polling body, a Socket.IO packet with its attachments.
    pub max_payload: usize,
    /// Attachments of one Socket.IO packet (JavaScript: `maxAttachments`).
    pub max_attachments: usize,
    /// How deep arrays and objects of one JSON text may nest.
    pub max_json_depth: usize,
    /// Engine.IO packets in one polling body.
    pub max_packets_per_payload: usize,
    /// Namespaces that one connection may join or wait for.
    pub max_namespaces: usize,
    /// Bytes of a namespace's path.
    pub max_namespace_len: usize,
    /// Bytes of an event's name.
    pub max_event_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: 1_000_000,
            max_attachments: 10,
            max_json_depth: 64,
            max_packets_per_payload: 1024,
            max_namespaces: 64,
            max_namespace_len: 256,
            max_event_len: 256,
        }
    }
}
