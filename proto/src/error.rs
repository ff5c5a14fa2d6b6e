//! What can be wrong with bytes from outside.
//!
//! One enum for all decoders: a byte of memory, free to copy, and each variant has a fixed label for metrics. What was
//! wrong is said without any of the offending bytes, so that nothing a client wrote reaches a log by this way.

/// The protocol that refused the bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The HTTP request around a polling payload.
    Http,
    /// WebSocket framing (RFC 6455).
    WebSocket,
    /// Engine.IO packets and payloads.
    EngineIo,
    /// Socket.IO packets.
    SocketIo,
    /// Messages from other nodes and from emitters.
    Bus,
}

impl Layer {
    /// The label of this layer in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
            Self::EngineIo => "engine.io",
            Self::SocketIo => "socket.io",
            Self::Bus => "bus",
        }
    }
}

// One row per error: variant, layer, metric label, text. The text is also the variant's documentation.
macro_rules! errors {
    ($($variant:ident $layer:ident $kind:literal $text:literal)*) => {
        /// Why bytes from outside were refused.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[non_exhaustive]
        pub enum DecodeError {
            $(#[doc = $text] #[error($text)] $variant,)*
        }

        impl DecodeError {
            /// Every variant, for registering metrics and for tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The protocol that refused the bytes.
            #[must_use]
            pub fn layer(self) -> Layer {
                match self { $(Self::$variant => Layer::$layer,)* }
            }

            /// A short fixed name, for use as a metric's label.
            #[must_use]
            pub fn kind(self) -> &'static str {
                match self { $(Self::$variant => $kind,)* }
            }
        }
    };
}

errors! {
    BodyTooLarge          Http      "body_too_large"          "the request body exceeds the payload limit"
    BodyNotText           Http      "body_not_text"           "the request body is not UTF-8 text"
    BadProxyHeader        Http      "bad_proxy_header"        "a PROXY protocol header is malformed"
    ProxyHeaderTooLong    Http      "proxy_header_too_long"   "a PROXY protocol header is too long"
    BodyNotForm           Http      "body_not_form"           "the request body is not the form of a JSONP request"

    ReservedBits          WebSocket "reserved_bits"           "a frame has a reserved bit set but no extension was agreed"
    ReservedOpcode        WebSocket "reserved_opcode"         "a frame has a reserved opcode"
    Unmasked              WebSocket "unmasked"                "a client frame is not masked"
    ControlTooLong        WebSocket "control_too_long"        "a control frame is longer than 125 bytes"
    ControlFragmented     WebSocket "control_fragmented"      "a control frame is fragmented"
    LoneContinuation      WebSocket "lone_continuation"       "a continuation frame continues nothing"
    InterruptedMessage    WebSocket "interrupted_message"     "a new message begins inside a fragmented one"
    FrameTooLarge         WebSocket "frame_too_large"         "a message exceeds the payload limit"
    TooManyFragments      WebSocket "too_many_fragments"      "a message consists of too many fragments"
    BadUtf8               WebSocket "bad_utf8"                "a text message or a close reason is not UTF-8"
    BadClose              WebSocket "bad_close"               "a close frame has an invalid code or length"

    EmptyPacket           EngineIo  "empty_packet"            "an Engine.IO packet is empty"
    UnknownPacket         EngineIo  "unknown_packet"          "an Engine.IO packet has an unknown type"
    BadBase64             EngineIo  "bad_base64"              "a binary Engine.IO packet is not base64"
    TooManyPackets        EngineIo  "too_many_packets"        "a polling payload has too many packets"
    BadLength             EngineIo  "bad_length"              "a length within a polling payload is malformed or does not fit"

    EmptyMessage          SocketIo  "empty_message"           "a Socket.IO packet is empty"
    BadPacketType         SocketIo  "bad_packet_type"         "a Socket.IO packet has an unknown type"
    BadAttachmentCount    SocketIo  "bad_attachment_count"    "the attachment count of a Socket.IO packet is malformed"
    TooManyAttachments    SocketIo  "too_many_attachments"    "a Socket.IO packet has too many attachments"
    BadPlaceholder        SocketIo  "bad_placeholder"         "a placeholder refers to no attachment"
    UnexpectedBinary      SocketIo  "unexpected_binary"       "binary data came while no attachment was awaited"
    UnexpectedText        SocketIo  "unexpected_text"         "text came where binary was awaited"
    BadNamespace          SocketIo  "bad_namespace"           "a namespace is malformed"
    NamespaceTooLong      SocketIo  "namespace_too_long"      "a namespace is too long"
    BadAckId              SocketIo  "bad_ack_id"              "an acknowledgement id is missing, misplaced or too large"
    BadJson               SocketIo  "bad_json"                "a packet's payload is not valid JSON"
    TooDeep               SocketIo  "too_deep"                "a packet's JSON nests too deeply"
    JsonTooLong           SocketIo  "json_too_long"           "a packet's JSON is too long"
    TooManyValues         SocketIo  "too_many_values"         "a packet's JSON has too many values"
    BadPayload            SocketIo  "bad_payload"             "a packet's payload does not fit its type"
    BadEventName          SocketIo  "bad_event_name"          "an event has no name, or one that is no text or number"
    ReservedEvent         SocketIo  "reserved_event"          "an event has a reserved name"
    EventTooLong          SocketIo  "event_too_long"          "an event's name is too long"
    BadMsgpack            SocketIo  "bad_msgpack"             "a packet is not valid msgpack"
    BadPacket             SocketIo  "bad_packet"              "a packet is not what the server's parser reads"
    MessageTooLarge       SocketIo  "message_too_large"       "a packet with its attachments exceeds the payload limit"

    BusTooShort           Bus       "bus_too_short"           "a bus message is truncated"
    BusTooLarge           Bus       "bus_too_large"           "a bus message exceeds the size limit"
    BusVersion            Bus       "bus_version"             "a bus message has a version that this node does not speak"
    BusHeader             Bus       "bus_header"              "the header of a bus message is malformed"
    BusName               Bus       "bus_name"                "a bus message has an invalid namespace, room or event name"
    BusArgs               Bus       "bus_args"                "the arguments in a bus message are not a JSON array"
    BusAttachments        Bus       "bus_attachments"         "the attachments of a bus message do not fit its arguments"
    BusTrailing           Bus       "bus_trailing"            "a bus message has bytes behind its end"
}

impl DecodeError {
    /// The limit that the bytes went beyond, as the label of the counters of limits; `None` if they were wrong at any size.
    #[must_use]
    pub fn limit(self) -> Option<&'static str> {
        Some(match self {
            Self::BodyTooLarge | Self::FrameTooLarge | Self::MessageTooLarge => "payload",
            Self::TooManyFragments => "fragments",
            Self::TooManyPackets => "packets_per_payload",
            Self::TooManyAttachments => "attachments",
            Self::NamespaceTooLong => "namespace_length",
            Self::EventTooLong => "event_length",
            Self::TooDeep => "json_depth",
            Self::JsonTooLong => "json_length",
            Self::TooManyValues => "json_values",
            _ => return None,
        })
    }

    /// The code of the WebSocket close frame that answers this error (RFC 6455, 7.4.1): 1009 too large, 1007 invalid
    /// UTF-8, 1002 any other violation of the framing, and 1008 where the framing was right but not what it carried.
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::FrameTooLarge | Self::TooManyFragments | Self::BodyTooLarge | Self::MessageTooLarge => 1009,
            Self::BadUtf8 => 1007,
            _ if self.layer() == Layer::WebSocket => 1002,
            _ => 1008,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_and_the_enum_is_a_byte() {
        let kinds: HashSet<_> = DecodeError::ALL.iter().map(|e| e.kind()).collect();
        assert_eq!(kinds.len(), DecodeError::ALL.len());
        assert!(
            kinds
                .iter()
                .all(|k| k.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()))
        );
        assert_eq!(size_of::<Result<(), DecodeError>>(), 1);
    }

    #[test]
    fn framing_errors_have_the_codes_of_the_rfc() {
        assert_eq!(DecodeError::Unmasked.close_code(), 1002);
        assert_eq!(DecodeError::BadUtf8.close_code(), 1007);
        assert_eq!(DecodeError::FrameTooLarge.close_code(), 1009);
    }
}
