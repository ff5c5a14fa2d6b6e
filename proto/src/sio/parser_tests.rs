use std::borrow::Cow;

use super::*;
use crate::sio::{Args, IntoArgs as _};

/// A decoder that says what it was told to.
struct Says(Option<Result<Option<Inbound<'static>>, DecodeError>>);

impl Decoder for Says {
    fn text(&mut self, _: &str, _: &Limits) -> Result<Option<Inbound<'static>>, DecodeError> {
        self.0.take().expect("asked once")
    }
}

fn read(inbound: Inbound<'static>) -> Result<Inbound<'static>, DecodeError> {
    let limits = Limits { max_json_depth: 3, ..Limits::default() };
    let mut decoder = AnyDecoder::Custom(Box::new(Says(Some(Ok(Some(inbound))))));
    let read = decoder.text("", &limits).map(|inbound| match inbound {
        Some(Inbound::Event { namespace, id, name, args }) => {
            let (namespace, name) = (Cow::Owned(namespace.into_owned()), Cow::Owned(name.into_owned()));
            Inbound::Event { namespace, id, name, args }
        }
        Some(Inbound::Connect { namespace, auth }) => {
            Inbound::Connect { namespace: Cow::Owned(namespace.into_owned()), auth }
        }
        other => panic!("{other:?}"),
    });
    // What said its piece is asked again: its panic is an error.
    assert_eq!(decoder.text("", &limits), Err(DecodeError::BadPacket));
    assert_eq!(decoder.binary(b"", &limits), Err(DecodeError::UnexpectedBinary));
    read
}

fn event(namespace: &'static str, name: &'static str, args: Args) -> Inbound<'static> {
    Inbound::Event { namespace: namespace.into(), id: None, name: name.into(), args }
}

#[test]
fn what_other_parsers_read_keeps_the_rules() {
    let args = || Args::empty();
    assert_eq!(read(event("/a", "ev", args())), Ok(event("/a", "ev", args())));
    assert_eq!(read(event("/a?query", "ev", args())), Ok(event("/a", "ev", args())));
    assert_eq!(read(event("a", "ev", args())), Err(DecodeError::BadNamespace));
    assert_eq!(read(event("/a\u{1e}", "ev", args())), Err(DecodeError::BadNamespace));
    for reserved in RESERVED {
        assert_eq!(read(event("/", reserved, args())), Err(DecodeError::ReservedEvent));
    }
    let long: &'static str = "x".repeat(257).leak();
    assert_eq!(read(event("/", long, args())), Err(DecodeError::EventTooLong));
    let long: &'static str = format!("/{long}").leak();
    assert_eq!(read(event(long, "ev", args())), Err(DecodeError::NamespaceTooLong));
    let deep = Args::from_parts(Bytes::from_static(b"[[[[]]]]"), vec![]).unwrap();
    assert_eq!(read(event("/", "ev", deep)), Err(DecodeError::TooDeep));
    let auth = |json: &'static str| Inbound::Connect { namespace: "/".into(), auth: Some(json.into()) };
    assert_eq!(read(auth("{\"a\":1}")), Ok(auth("{\"a\":1}")));
    assert_eq!(read(auth("[]")), Err(DecodeError::BadPayload));
    assert_eq!(read(auth("{")), Err(DecodeError::BadJson));
}

#[test]
fn parsers_say_the_same_in_their_own_ways() {
    let packet = Packet::event("/n".into(), "ev", (1, "a").into_args().unwrap(), Some(3));
    assert_eq!(Parsers::Json.encode(&packet), [Message::Text("2/n,3[\"ev\",1,\"a\"]".into())]);
    let binary = Packet::ack("/".into(), 3, crate::sio::Binary(b"x"[..].into()).into_args().unwrap());
    let text = "61-3[{\"_placeholder\":true,\"num\":0}]".into();
    assert_eq!(Parsers::Json.encode(&binary), [Message::Text(text), Message::Binary(b"x"[..].into())]);
    assert_eq!(Parsers::MsgPack.encode(&binary).len(), 1);
    let limits = Limits::default();
    for parser in [Parsers::Json, Parsers::MsgPack] {
        let (mut decoder, mut read) = (parser.decoder(), None);
        let messages = parser.encode(&binary);
        for message in &messages {
            assert_eq!(read, None);
            read = match message {
                Message::Text(text) => decoder.text(text, &limits).unwrap(),
                Message::Binary(data) => decoder.binary(data, &limits).unwrap(),
            };
        }
        let args = binary.args().unwrap().clone();
        assert_eq!(read, Some(Inbound::Ack { namespace: "/".into(), id: 3, args }));
    }
    assert_eq!(Parsers::MsgPack.decoder().text("2[\"ev\"]", &limits), Err(DecodeError::UnexpectedText));
}

struct Shout;

impl Parser for Shout {
    fn name(&self) -> &str {
        "shout"
    }
    fn encode(&self, packet: &Packet) -> Vec<Message> {
        vec![Message::Text(format!("\u{1e}{}", packet.text())), Message::Binary(Bytes::from_static(&[1, 2]))]
    }
    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(Says(None))
    }
}

#[test]
fn no_text_ends_a_packet_of_long_polling() {
    let parser = Parsers::from(Shout);
    assert_eq!(format!("{parser:?}"), "shout");
    let prepared =
        crate::prepared::Prepared::with_parser(Packet::event("/".into(), "e", Args::empty(), None), parser);
    assert_eq!(prepared.len_hint(), prepared.websocket().len());
    assert_eq!(prepared.messages(), 2);
    assert_eq!(&prepared.polling()[..], "4\u{fffd}2[\"e\"]\u{1e}bAQI=".as_bytes());
    assert_eq!(&prepared.websocket()[..], b"\x81\x0a4\xef\xbf\xbd2[\"e\"]\x82\x02\x01\x02");
}
