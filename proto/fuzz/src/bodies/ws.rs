//! The WebSocket decoder: against itself with other chunks, and against tungstenite.

use std::io::{self, Read, Write};

use sockeye_proto::DecodeError;
use sockeye_proto::ws::{Decoder, Flow, Frame};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

/// A message or control frame that outlives its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame.
    Close(Option<u16>, String),
}

impl From<Frame<'_>> for Owned {
    fn from(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Text(text) => Self::Text(text.to_owned()),
            Frame::Binary(data) => Self::Binary(data.to_vec()),
            Frame::Ping(data) => Self::Ping(data.to_vec()),
            Frame::Pong(data) => Self::Pong(data.to_vec()),
            Frame::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

/// How a stream of bytes ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// More may come.
    Open,
    /// By a close frame.
    Closed,
    /// By an error.
    Refused(E),
}

/// The messages of a stream, and its end.
pub type Outcome<E> = (Vec<Owned>, End<E>);

/// What our decoder makes of `bytes` when they come in pieces of the sizes in `chunks`, over and over. A size of zero
/// means all that is left; the top bit means a pause behind each frame.
///
/// # Panics
/// If the decoder keeps more than it may or does not honour a pause.
pub fn ours(bytes: &[u8], max: usize, chunks: &[u8]) -> Outcome<DecodeError> {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    let mut sizes = chunks.iter().copied().cycle();
    let mut rest = bytes.to_vec();
    let mut rest = &mut rest[..];
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or_default();
        let pause = size & 0x80 != 0;
        let size = Some(usize::from(size & 0x7f)).filter(|size| (1..rest.len()).contains(size));
        let (piece, later) = rest.split_at_mut(size.unwrap_or(rest.len()));
        rest = later;
        let mut at = 0;
        while at < piece.len() {
            let before = frames.len();
            let fed = decoder.feed(&mut piece[at..], max, |frame| {
                frames.push(Owned::from(frame));
                if pause { Flow::Pause } else { Flow::Continue }
            });
            match fed {
                Ok(used) => {
                    assert!(used > 0 && used <= piece.len() - at, "consumed {used}");
                    assert!(pause || used == piece.len() - at, "stopped without being asked to");
                    assert!(!pause || frames.len() <= before + 1, "went on after a pause");
                    at += used;
                }
                Err(error) => return (frames, End::Refused(error)),
            }
            // A control frame in pieces is kept beside the message that it interrupts.
            assert!(decoder.buffered() <= max + 125, "keeps {}", decoder.buffered());
            if matches!(frames.last(), Some(Owned::Close(..))) {
                return (frames, End::Closed);
            }
        }
    }
    (frames, End::Open)
}

/// What tungstenite makes of `bytes`.
///
/// # Panics
/// If it gives an error or message that a server never gets from a stream of bytes.
pub fn theirs(bytes: &[u8], max: usize) -> Outcome<String> {
    struct Wire<'a>(&'a [u8]);
    impl Read for Wire<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Wire<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    // Its limit of a frame holds for control frames too, which have a limit of their own.
    let config = WebSocketConfig::default()
        .max_message_size(Some(max))
        .max_frame_size(Some(max.max(125)))
        .read_buffer_size(1024);
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        messages.push(match socket.read() {
            Ok(Message::Text(text)) => Owned::Text(text.as_str().to_owned()),
            Ok(Message::Binary(data)) => Owned::Binary(data.to_vec()),
            Ok(Message::Ping(data)) => Owned::Ping(data.to_vec()),
            Ok(Message::Pong(data)) => Owned::Pong(data.to_vec()),
            Ok(Message::Close(frame)) => Owned::Close(
                frame.as_ref().map(|frame| frame.code.into()),
                frame.map_or_else(String::new, |frame| frame.reason.as_str().to_owned()),
            ),
            Ok(Message::Frame(_)) => panic!("raw frames are never read"),
            Err(Error::ConnectionClosed) => return (messages, End::Closed),
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (messages, End::Open);
            }
            Err(error @ (Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_))) => {
                return (messages, End::Refused(error.to_string()));
            }
            Err(error) => panic!("unexpected: {error}"),
        });
    }
}

/// Compares both decoders on a stream. They must agree on every message and on acceptance, but for this:
///
/// * Ours refuses a frame as soon as what is there rules it out, tungstenite once the frame is complete. (When it is
///   completed, tungstenite must refuse it too.)
/// * Ours refuses close frames with a code that must not be sent (RFC 6455, 7.4), tungstenite reports them as 1002. It
///   does so with 1014 too, which was registered after it was written.
/// * Ours bounds the number of empty fragments.
///
/// # Panics
/// If they differ otherwise.
pub fn compare(bytes: &[u8], max: usize) {
    let (ours, our_end) = ours(bytes, max, &[]);
    let (mut theirs, mut their_end) = theirs(bytes, max);
    if matches!(our_end, End::Refused(_)) && their_end == End::Open {
        let filled = [bytes, &vec![0; max.max(125) + 14]].concat();
        (theirs, their_end) = self::theirs(&filled, max);
    }
    match (&our_end, &their_end) {
        (End::Refused(DecodeError::TooManyFragments), _) => {
            theirs.truncate(ours.len());
            assert_eq!(ours, theirs);
        }
        (End::Refused(DecodeError::BadClose), End::Closed) => {
            assert_eq!(theirs.pop(), Some(Owned::Close(Some(1002), "Protocol violation".to_owned())));
            assert_eq!(ours, theirs);
        }
        (End::Closed, End::Closed) if matches!(ours.last(), Some(Owned::Close(Some(1014), _))) => {
            assert_eq!(theirs.last(), Some(&Owned::Close(Some(1002), "Protocol violation".to_owned())));
            assert_eq!(ours[..ours.len() - 1], theirs[..theirs.len() - 1]);
        }
        (End::Refused(_), End::Refused(_)) | (End::Open, End::Open) | (End::Closed, End::Closed) => {
            assert_eq!(ours, theirs);
        }
        _ => panic!("we say {our_end:?} with {ours:?}, tungstenite {their_end:?} with {theirs:?}"),
    }
}

/// Two bytes of configuration (the limit, how many sizes follow), sizes of chunks, then a stream: cut anyhow, it must
/// give the same frames and the same end.
pub fn decode(data: &[u8]) {
    let [limit, sizes, rest @ ..] = data else { return };
    let (chunks, bytes) = rest.split_at(usize::from(sizes % 8).min(rest.len()));
    let max = usize::from(*limit) * 16;
    let whole = ours(bytes, max, &[]);
    assert_eq!(whole, ours(bytes, max, &[1]));
    assert_eq!(whole, ours(bytes, max, &[0x80]));
    assert_eq!(whole, ours(bytes, max, chunks));
}

/// One byte of configuration (the limit), then a stream for both decoders.
pub fn differential(data: &[u8]) {
    let [limit, bytes @ ..] = data else { return };
    compare(bytes, usize::from(*limit) * 16);
}
