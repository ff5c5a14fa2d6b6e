//! How much of everything one client may send, and have kept for it.

/// What one client may take. Every value is far above what a stock client of an ordinary application meets; the defaults
/// are those of the JavaScript server where it has one.
///
/// ```
/// use sockeye_proto::Limits;
///
/// let limits = Limits { max_rooms: 100, events_per_second: 50, event_burst: 500, ..Limits::default() };
/// assert_eq!(limits.max_payload, 1_000_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message: a WebSocket message, a polling body, a Socket.IO packet with its attachments. Default
    /// 1,000,000 (JavaScript: `maxHttpBufferSize`).
    pub max_payload: usize,
    /// Attachments of one Socket.IO packet. Default 10 (JavaScript: `maxAttachments`).
    pub max_attachments: usize,
    /// Binary values of one packet where they are no messages of their own, as in msgpack. Default 1,024.
    pub max_binary_values: usize,
    /// How deep arrays and objects of one JSON text may nest, 127 at the most. Default 64.
    pub max_json_depth: usize,
    /// Bytes of the JSON text of one packet, its attachments not among them. Default 1,000,000.
    pub max_json_len: usize,
    /// Values in the JSON text of one packet: numbers, texts, words, arrays and objects. A text may be small and still cost
    /// much memory once it is parsed. Default 250,000.
    pub max_json_values: usize,
    /// Engine.IO packets in one polling body. JavaScript's client sends all that it has gathered in one, so that this is
    /// also the largest burst that it can send from one moment to the next. Default 4,096.
    pub max_packets_per_payload: usize,
    /// Namespaces that one connection may join or wait for. Default 64.
    pub max_namespaces: usize,
    /// Bytes of a namespace's path. Default 256.
    pub max_namespace_len: usize,
    /// Bytes of an event's name. Default 256.
    pub max_event_len: usize,
    /// Rooms that one socket may be in, its own not counted. Default 20,000.
    pub max_rooms: usize,
    /// Bytes of the name of a room that a socket joins. Default 1,024.
    pub max_room_len: usize,
    /// Acks that one socket may owe at a time. Default 10,000.
    pub max_pending_acks: usize,
    /// Events that one socket may send in the long run, per second; a faster client is read more slowly. 0 is no limit.
    /// Default 50,000.
    pub events_per_second: u32,
    /// Events that one socket may send at once, before its rate counts. Default 100,000.
    pub event_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: 1_000_000,
            max_attachments: 10,
            max_binary_values: 1024,
            max_json_depth: 64,
            max_json_len: 1_000_000,
            max_json_values: 250_000,
            max_packets_per_payload: 4096,
            max_namespaces: 64,
            max_namespace_len: 256,
            max_event_len: 256,
            max_rooms: 20_000,
            max_room_len: 1024,
            max_pending_acks: 10_000,
            events_per_second: 50_000,
            event_burst: 100_000,
        }
    }
}
