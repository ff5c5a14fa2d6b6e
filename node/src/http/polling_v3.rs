//! Long-polling of Engine.IO 3: bodies with lengths in them, as text, octets, scripts or forms.

use std::borrow::Cow;

use sockeye_proto::{
    eio::{
        jsonp,
        packet::Packet,
        payload_v3::{Dialect, Piece, decode_octets, decode_text, push_text, read_text},
    },
    error::DecodeError,
};

use crate::conn::{Conn, outbox::Form};

/// What packets are read from, one by one.
pub(super) type Packets<'a> = Box<dyn Iterator<Item = Result<Packet<'a>, DecodeError>> + Send + 'a>;

/// A payload of one packet that is text.
pub(super) fn one(packet: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(packet.len() + 5);
    push_text(str::from_utf8(packet).unwrap_or_default(), &mut payload);
    payload
}

/// The body and type of an answer with this payload.
pub(super) fn answer(conn: &Conn, payload: Vec<u8>) -> (Vec<u8>, &'static str) {
    if let Some(index) = conn.jsonp {
        let script = index.script(&String::from_utf8_lossy(&payload));
        return (script.into(), "text/javascript; charset=UTF-8");
    }
    // Octets begin with a byte that no text begins with.
    let octets = payload.first().is_some_and(|first| *first <= 1);
    (payload, if octets { "application/octet-stream" } else { "text/plain; charset=UTF-8" })
}

/// What a client posted, without what is around it.
pub(super) enum Posted<'a> {
    Text(Cow<'a, str>),
    Octets(&'a [u8]),
}

impl<'a> Posted<'a> {
    /// Clients post text or octets, whatever they can read themselves.
    pub(super) fn read(conn: &Conn, body: &'a [u8], octets: bool) -> Result<Self, DecodeError> {
        if octets && conn.jsonp.is_none() {
            return Ok(Self::Octets(body));
        }
        let text = str::from_utf8(body).map_err(|_| DecodeError::BodyNotText)?;
        if conn.jsonp.is_some() {
            return jsonp::payload(text).map(|payload| Self::Text(payload.into()));
        }
        Ok(Self::Text(text.into()))
    }

    /// Its packets. What they tell about how the client reads text is noted.
    pub(super) fn packets(&self, conn: &'a Conn, max_packets: usize) -> Packets<'_> {
        match self {
            Self::Octets(body) => Box::new(decode_octets(body, max_packets).map(|piece| piece?.decode())),
            Self::Text(body) => Box::new(decode_text(body, max_packets).map(|piece| match piece? {
                Piece::Text(text) => understand(conn, text),
                binary @ Piece::Binary(_) => binary.decode(),
            })),
        }
    }
}

fn understand<'a>(conn: &Conn, text: &'a str) -> Result<Packet<'a>, DecodeError> {
    if text.is_ascii() {
        return Packet::decode_text_v3(text);
    }
    let form = conn.outbox.form();
    let Form::V3 { base64, dialect } = form else { return Packet::decode_text_v3(text) };
    let (meant, learnt) = if base64 {
        read_text(text, dialect)
    } else {
        // Clients that double have base64 only, or write octets.
        (text.into(), Dialect::Plain)
    };
    if learnt != dialect {
        conn.outbox.set_form(Form::V3 { base64, dialect: learnt });
    }
    match meant {
        Cow::Borrowed(text) => Packet::decode_text_v3(text),
        Cow::Owned(meant) => match Packet::decode_text_v3(&meant)? {
            Packet::Message(message) => Ok(Packet::Message(Cow::Owned(message.into_owned()))),
            // Nothing but messages has text that matters.
            _ => Packet::decode_text_v3(text),
        },
    }
}
